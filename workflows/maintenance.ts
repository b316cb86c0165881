import { ActivityFailure, isCancellation, setCurrentDetails } from '@temporalio/workflow';

import type {
  Held,
  MaintenanceInput,
  MaintenanceResult,
  NotPruned,
  Pruned,
  PrunedDatabase,
} from '../domain/maintenance.ts';
import { reasonOf } from './failures.ts';
import { maintaining } from './services.ts';

/** So much of what stays is named in Temporal Web. */
const MOST_NAMED = 20;

/**
 * Takes away what is old and was handled, database by database (docs/operations.md, "Upkeep"). One that cannot be asked is
 * named in the result, and the others are gone through: the next run does what this one did not.
 */
export async function maintenance({ dryRun }: MaintenanceInput): Promise<MaintenanceResult> {
  const [viewsAndBus, payments] = await Promise.all([pruneViewsAndBus(dryRun), prunePayments(dryRun)]);
  const looks = [...viewsAndBus, payments];
  const pruned = looks.filter((look) => 'tables' in look);
  const result = {
    dryRun,
    tables: pruned.flatMap(({ tables }) => tables),
    held: pruned.flatMap(({ held }) => held),
    unreachable: looks.filter((look) => 'reason' in look),
  };
  setCurrentDetails(detailsOf(result));
  return result;
}

type Look = Pruned | NotPruned;

/** One after the other: only the views know which rebuild reads the log. */
async function pruneViewsAndBus(dryRun: boolean): Promise<Look[]> {
  const views = await orNamed('db_materialized_view', () =>
    maintaining.views.pruneViews.executeWithOptions({ summary: 'Inboxes of the views' }, [{ dryRun }]),
  );
  if ('reason' in views) {
    const reason = 'left as it is: nobody could say whether a view is being rebuilt from its log';
    return [views, { database: 'db_event_bus', reason }];
  }
  const readBy = views.readingLog;
  const bus = await orNamed('db_event_bus', () =>
    maintaining.views.pruneBus.executeWithOptions({ summary: 'The log of the bus' }, [{ dryRun, readBy }]),
  );
  return [views, bus];
}

const prunePayments = (dryRun: boolean): Promise<Look> =>
  orNamed('db_payment', () =>
    maintaining.payments.pruneWebhooks.executeWithOptions({ summary: 'Webhooks that were handled' }, [{ dryRun }]),
  );

/** @throws the cancellation of the workflow */
async function orNamed<T>(database: PrunedDatabase, prune: () => Promise<T>): Promise<T | NotPruned> {
  try {
    return await prune();
  } catch (error) {
    if (isCancellation(error) || !(error instanceof ActivityFailure)) throw error;
    return { database, reason: reasonOf(error) };
  }
}

function detailsOf({ dryRun, tables, held, unreachable }: MaintenanceResult): string {
  const lines = tables.map(({ table, rows }) => `- ${table}: ${rows} rows`);
  for (const { database, reason } of unreachable) lines.push(`- **${database} could not be looked after**: ${reason}`);
  for (const one of held.slice(0, MOST_NAMED)) lines.push(`- ${textOf(one)}`);
  if (held.length > MOST_NAMED) lines.push(`- and ${held.length - MOST_NAMED} more that stay`);
  return [dryRun ? '### Would go' : '### Gone', ...(lines.length > 0 ? lines : ['- nothing'])].join('\n');
}

const textOf = ({ table, why, fix }: Held): string => `**${table} stays**: ${why}; ${fix}`;
