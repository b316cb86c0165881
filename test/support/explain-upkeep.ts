import { pruneWebhookActivities } from '../../activities/payments/prune-webhooks.ts';
import { mustBeKafka, NotTheCarrier } from '../../events/bus/carrier.ts';
import { pruneLog } from '../../events/bus/prune.ts';
import { openBus, openPayment, openViews } from '../../infra/databases.ts';
import { pruneInboxes } from '../../projections/prune-inbox.ts';
import { query, type TestDatabases } from './databases.ts';

/** So old that about a thousand of the generated rows are older: upkeep finds a little each day. */
const RARELY_DAYS = 688;
/** What a view remembers is kept for longer than the bus has it. */
const INBOX_MORE_DAYS = 32;

/** Runs what deletes old rows, first only asked how many they are, and then for good. */
export async function workUpkeep({ urls, adminUrl }: TestDatabases): Promise<void> {
  const payment = openPayment(urls.payment, { poolSize: 1 });
  const views = openViews(urls.views, { poolSize: 1 });
  const bus = openBus(urls.bus, { poolSize: 1 });
  const { signal } = new AbortController();
  const none = (): void => undefined;
  try {
    for (const dryRun of [true, false]) {
      await pruneWebhookActivities({
        ...{ payment, keepDays: RARELY_DAYS, signal: () => signal, beat: none, before: () => 0, onPruned: none },
        pauseMs: 0,
      }).pruneWebhooks({ dryRun });
      await pruneInboxes(
        { views },
        { busDays: RARELY_DAYS - INBOX_MORE_DAYS, dryRun, signal, onPruned: none, pauseMs: 0 },
      );
    }
    // Whoever comes with Kafka's address while the log is in use looks into it before it is refused.
    await mustBeKafka({ bus }).catch((error: unknown) => {
      if (!(error instanceof NotTheCarrier)) throw error;
    });
    const prune = (dryRun: boolean) =>
      pruneLog({ bus }, { keepDays: 45, dryRun, readBy: [], signal, onPruned: none, pauseMs: 0 });
    await prune(true); // somebody has not read it
    await query(adminUrl('bus'), `update group_offsets set position = (select max(position) from event_log)`);
    await query(
      adminUrl('bus'),
      `insert into event_log_default (position, appended_at, source, event_id, type, subject, aggregate_version, envelope)
       overriding system value
       select position, now() - interval '200 days', source, event_id, type, subject, aggregate_version, envelope
       from event_log where position <= 10`,
    );
    await prune(true);
    await prune(false);
  } finally {
    for (const db of [payment, views, bus]) await db.$disconnect();
  }
}
