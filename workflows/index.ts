export { checkout } from './checkout.ts';
export { webhook } from './webhook.ts';
