import { activityInfo, cancellationSignal, heartbeat } from '@temporalio/activity';

import { pruneWebhookActivities } from '../activities/payments/prune-webhooks.ts';
import { pruneActivities } from '../activities/views/prune.ts';
import type { Pruned } from '../domain/maintenance.ts';
import { pruneLog } from '../events/bus/prune.ts';
import type { Config } from '../infra/config.ts';
import type { Databases } from '../infra/databases.ts';
import type { Logger } from '../infra/log.ts';
import { pruneInboxes } from '../projections/prune-inbox.ts';

type Settings = Pick<Config, 'retention'>;

/** Upkeep of the databases of views and bus, whose outcome is logged. */
export function viewsUpkeep({ retention }: Settings, { views, bus }: Pick<Databases, 'views' | 'bus'>, log: Logger) {
  return pruneActivities({
    async pruneInboxes(how) {
      const pruned = await pruneInboxes({ views }, { ...how, busDays: retention.busDays });
      tell(log, 'inboxes of the views', how.dryRun, pruned);
      return pruned;
    },
    async pruneLog(how) {
      const pruned = await pruneLog({ bus }, { ...how, keepDays: retention.busDays });
      tell(log, 'log of the bus', how.dryRun, pruned);
      return pruned;
    },
    signal: cancellationSignal,
    beat: (counts) => heartbeat(counts),
    before: () => heartbeatOf<Readonly<Record<string, number>>>(),
  });
}

/** Upkeep of the payment database. */
export const paymentUpkeep = ({ retention }: Settings, { payment }: Pick<Databases, 'payment'>, log: Logger) =>
  pruneWebhookActivities({
    ...{ payment, keepDays: retention.webhookDays, signal: cancellationSignal },
    beat: (rows) => heartbeat(rows),
    before: () => heartbeatOf<number>() ?? 0,
    onPruned: (dryRun, pruned) => tell(log, 'webhooks', dryRun, pruned),
  });

/** What the attempt before this one told last. */
const heartbeatOf = <T>(): T | undefined => activityInfo().heartbeatDetails as T | undefined;

/** What stays needs a person to look sooner or later; the rest is good to know. */
function tell(log: Logger, what: string, dryRun: boolean, { tables, held }: Pruned): void {
  log.info({ tables, dryRun }, `upkeep: ${what}`);
  for (const { table, why, fix } of held) log.warn({ table, why, fix }, 'upkeep: something old stays');
}
