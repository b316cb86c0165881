export { checkout } from './checkout.ts';
export { dailySales } from './daily-sales.ts';
export { maintenance } from './maintenance.ts';
export { rebuildView } from './rebuild-view.ts';
export { reconcile } from './reconcile.ts';
export { refund } from './refund.ts';
export { repair } from './repair.ts';
export { webhook } from './webhook.ts';
