import { type StoredEvent, subjectOf } from '../../events/stored-event.ts';
import { audit, type AuditDeps } from '../../infra/audit/audit.ts';
import { dossiers } from '../../infra/audit/dossiers.ts';
import { scopeOfLog } from '../../infra/audit/event-log.ts';
import { type KeptEvents, type KeptRecord, lookAtKafka } from '../../infra/audit/events-on-kafka.ts';
import { type InvariantId, Look } from '../../infra/audit/finding.ts';
import { compareMoney } from '../../infra/audit/money.ts';
import { openRows } from '../../infra/audit/open-work.ts';
import { rebuildInventory } from '../../infra/audit/rebuild.ts';
import { lookAtRefunds } from '../../infra/audit/refunds.ts';
import { AUDITED, type EventService, type Snapshots, withSnapshots } from '../../infra/audit/snapshot.ts';
import { lookAtViews } from '../../infra/audit/views.ts';
import { ORDER_RULES } from '../../infra/audit/views-orders.ts';
import { readProgress, waitsOf } from '../../infra/audit/views-progress.ts';
import { runningFor } from '../../infra/audit/workflows.ts';
import type { DatabaseName } from '../../infra/config.ts';
import type { BookedCharge, GatewayLedger } from '../../infra/payment-gateway/ledger.ts';
import { simulatedLedger } from '../../infra/payment-gateway/simulated-ledger.ts';
import type { AuditedShop } from './audited-shop.ts';
import { query, type TestDatabases } from './databases.ts';
import { RecordingBus } from './events.ts';

const TIMEOUT_MS = 5_000;

const STEP_ROWS = 4_000;

/** Runs the audit of everything, twice where it finds something, and the repair of stock. Meant for few rows. */
export async function workWholeAudit(shop: AuditedShop, databases: TestDatabases): Promise<void> {
  const { urls } = databases;
  const ledger = simulatedLedger({ url: shop.gatewayUrl, timeoutMs: TIMEOUT_MS });
  const deps: AuditDeps = { urls, workflows: shop.workflows, timeZone: 'Asia/Seoul', ledger };
  const sold = await shop.paid();
  await shop.refunded(sold, { lines: [{ lineNo: 1, quantity: 1, restock: true }] });
  await shop.drain();
  await damage(databases, sold.orderId);
  const { findings } = await audit(deps, { recheckAfterMs: 0 });
  const broken = new Set(findings.map(({ invariant }) => invariant));
  if (![1, 3, 8].every((id) => broken.has(id as InvariantId)))
    throw new Error(`damage was not found: ${[...broken].join()}`);
  await rebuildInventory(urls.platform, { apply: true });
}

/** Runs the parts of the audit that go through tables page by page, or look single rows up. */
export async function workAudit(shop: AuditedShop, databases: TestDatabases): Promise<void> {
  const { urls } = databases;
  await shop.drain(); // what is told below was not applied yet
  const some = await query<{ id: string }>(
    databases.adminUrl('order'),
    'select id::text from orders order by id limit 20',
  );
  const settled = await query<{ id: string }>(
    databases.adminUrl('payment'),
    `select p.order_id::text as id from refunds r join payments p on p.id = r.payment_id
     where r.refund_key like '%:settle-refund' and r.status = 'SUCCEEDED' limit 3`,
  );
  const orderIds = some.map(({ id }) => id);
  const suspects = orderIds.map(
    (orderId) => ({ invariant: 5, row: `payment of ${orderId}`, orderId, is: '', shouldBe: '' }) as const,
  );
  await withSnapshots(urls, AUDITED, async (from) => {
    let seen = 0;
    for await (const { orderId } of dossiers(from, null)) if (orderId !== '' && ++seen > STEP_ROWS) break;
    for await (const { orderId } of dossiers(from, orderIds))
      if (orderId === '') throw new Error('an order without an id');
    const until = (rows: number) => (what: string) => {
      if (Number.parseInt(what) >= rows) throw new Enough();
    };
    await lookAtRefunds(from, new Look(), null, until(1_000)).catch(unlessEnough);
    await lookAtRefunds(from, new Look(), [...orderIds, ...settled.map(({ id }) => id)], () => undefined);
    const ledger = withGeneratedCharges(simulatedLedger({ url: shop.gatewayUrl, timeoutMs: TIMEOUT_MS }), databases);
    const money = { ledger, wanted: new Set([4, 5] as const), say: () => undefined };
    await compareMoney(from, new Look(), { ...money, again: null });
    await compareMoney(from, new Look(), { ...money, again: suspects });
    await openRows(from);
    await runningFor(shop.workflows, from.payment, suspects);
    await scopeOfLog(from.bus);
    const progress = await readProgress(from);
    const [rule] = ORDER_RULES;
    if (rule === undefined) throw new Error('the view of orders has no rule');
    const told = orderIds.map((id) => ({ key: [id], is: undefined, shouldBe: { order_id: id } }));
    await waitsOf(rule, told, from, progress);
    await lookAtViews(from, new Look(), { timeZone: 'Asia/Seoul', again: [], say: () => undefined });
    await finish(from);
  });
  await auditKafka(shop, databases);
}

/** The plan of a statement is written when the next one comes, not when its transaction is cut off. */
async function finish(from: Snapshots): Promise<void> {
  for (const name of AUDITED) await from[name].query('select 1');
}

class Enough extends Error {}

function unlessEnough(error: unknown): void {
  if (!(error instanceof Enough)) throw error;
}

/** Some rows are wrong, so that suspects are looked at again, and repaired where that can be. */
async function damage({ adminUrl }: Pick<TestDatabases, 'adminUrl'>, orderId: string): Promise<void> {
  const on = (database: DatabaseName, statement: string) =>
    query(adminUrl(database), `set session_replication_role = replica; ${statement}`);
  await on('platform', 'update inventory_snapshots set available_quantity = 7 where id = 900');
  await on('platform', 'delete from inventory_snapshots where id = 901');
  await on('order', `update orders set refunded_amount = 2 where id = '${orderId}'`);
  await on('views', `insert into mv_users (user_id, full_name, user_version) values (999999, 'somebody', 1)`);
}

/** The books of the gateway, and what they would say of the payments that it never saw. */
function withGeneratedCharges(real: GatewayLedger, { adminUrl }: Pick<TestDatabases, 'adminUrl'>): GatewayLedger {
  return {
    provider: real.provider,
    async *charges(asked) {
      yield* real.charges(asked);
      yield* await query<BookedCharge>(
        adminUrl('payment'),
        `select provider_payment_id as "providerId", order_id::text as "orderId", 1000 as captured, 1 as refunded,
           'KRW' as currency
         from payments where provider_payment_id like 'generated%'
           and ($1::text[] is null or provider_payment_id = any($1)) and ($2::timestamptz is null or updated_at >= $2)`,
        [asked.providerIds ?? null, asked.since ?? null],
      );
    },
  };
}

/** Of some orders only the second event is found on Kafka, so the first is looked for in the log. */
async function auditKafka(shop: AuditedShop, { urls, adminUrl }: TestDatabases): Promise<void> {
  await query(adminUrl('bus'), `update bus_carrier set carrier = 'kafka', changed_at = now()`);
  try {
    await shop.paid();
    const published = new RecordingBus();
    await shop.drain({ ...UNUSED, publish: (events) => published.publish(events) });
    const records = published.batches.flat().flatMap(recordOf);
    const kept: KeptEvents = {
      records: records.length,
      async *read() {
        yield await Promise.resolve(records.filter(({ version }) => version !== 1));
      },
      hasExpired: () => false,
      isCut: () => false,
      beginsAt: () => null,
      close: () => Promise.resolve(),
    };
    const look = new Look();
    await withSnapshots(urls, AUDITED, async (from) => {
      await lookAtKafka(from, look, { kept, scope: await scopeOfLog(from.bus), say: () => undefined });
      await finish(from);
    });
    if (look.suspects.length === 0) throw new Error('no first event was missed on Kafka');
  } finally {
    await query(adminUrl('bus'), `update bus_carrier set carrier = 'embedded', changed_at = now()`);
  }
}

const unused = () => Promise.reject(new Error('nobody reads from this bus'));
const UNUSED = { subscribe: unused, lag: unused, close: () => Promise.resolve() };

function recordOf(event: StoredEvent, offset: number): KeptRecord[] {
  const { id, type, envelope, aggregateVersion: version } = event;
  const service = event.source as EventService;
  const partition = `${service}.events/0`;
  const place = { place: `${partition}/${offset}`, partition, time: Date.now() };
  return [{ service, ...place, id, type, subject: subjectOf(event), version, envelope }];
}
