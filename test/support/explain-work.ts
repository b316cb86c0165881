import { openAuditedShop } from './audited-shop.ts';
import { workAudit, workWholeAudit } from './explain-audit.ts';
import { workEvents } from './explain-events.ts';
import type { ExplainingServer } from './explain-server.ts';
import { workServices } from './explain-services.ts';
import { workUpkeep } from './explain-upkeep.ts';
import { workViews } from './explain-views.ts';

/** Runs every function of the product that sends SQL. The order matters: the views are caught up last, then pruned. */
export async function workAll({ databases, small }: Pick<ExplainingServer, 'databases' | 'small'>): Promise<void> {
  const shop = await openAuditedShop(databases);
  try {
    await workServices(shop, databases);
    await workEvents(shop, databases);
    await workAudit(shop, databases);
    await workViews(databases);
    await workUpkeep(databases);
  } finally {
    await shop.close();
  }
  const other = await openAuditedShop(small);
  try {
    await workWholeAudit(other, small);
  } finally {
    await other.close();
  }
}
