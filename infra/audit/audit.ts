import { setTimeout as sleep } from 'node:timers/promises';

import type { GatewayLedger } from '../payment-gateway/ledger.ts';
import { dossiers } from './dossiers.ts';
import { lookAtEvents, openCarriers } from './events.ts';
import type { EventTopics } from './events-on-kafka.ts';
import { type Finding, INVARIANT_IDS, type InvariantId, INVARIANTS, Look, MOST_SUSPECTS } from './finding.ts';
import { compareMoney } from './money.ts';
import { openRows } from './open-work.ts';
import { orderIdsAmong } from './order-ids.ts';
import { closedMeansNothingHeld, paidMeansCapturedAndCommitted, storedAnswerIsTheOrder } from './order-rules.ts';
import { countRefundRequests, refundsThatAreNotTheirAnswer } from './refund-answers.ts';
import { lookAtRefunds } from './refunds.ts';
import {
  type AuditedDatabase,
  CannotLook,
  EVENT_SERVICES,
  type LookLimits,
  type Snapshots,
  withSnapshots,
} from './snapshot.ts';
import {
  countReservations,
  countStock,
  ordersWhoseStockDisagrees,
  snapshotsThatAreNotTheFold,
  type StockDifference,
  stockThatIsNotReserved,
} from './stock.ts';
import { lookAtViews } from './views.ts';
import { runningFor, type Workflows } from './workflows.ts';

export type AuditDeps = Readonly<{
  urls: Readonly<Partial<Record<AuditedDatabase, string>>>;
  /** The payment provider's books. Undefined: invariants 4 and 5 cannot be looked at. */
  ledger: GatewayLedger | undefined;
  /** Undefined: nobody is asked, and what only a running workflow could excuse is answered as unknown. */
  workflows: Workflows | undefined;
  /** Kafka's topics. Undefined: invariant 7 cannot be looked at once events go by Kafka. */
  topics?: EventTopics | undefined;
  /** IANA name: where the shop's days begin. Undefined: invariant 8 cannot be looked at. */
  timeZone?: string;
  /** None: it takes as long as it takes. */
  limits?: LookLimits;
}>;

export type AuditOptions = Readonly<{
  only?: readonly InvariantId[];
  /** Told what is being done, often. */
  say?: (what: string) => void;
  /** How long a suspect has to heal, milliseconds. */
  recheckAfterMs?: number;
}>;

export type Audited = Readonly<{
  invariants: readonly Readonly<{ id: InvariantId; states: string; looked: number; findings: number }>[];
  /** Rows that break an invariant, and still did when they were looked at again. */
  findings: readonly Finding[];
  /** Rows that something which runs may still put right: workflows, or for events a relay. */
  inProgress: readonly (Finding & Readonly<{ workflows: readonly string[] }>)[];
  /** Rows of which only Temporal could say whether they are broken. */
  unknown: readonly Finding[];
  /** Invariants with so many suspects that not all of them were kept. */
  overfull: readonly InvariantId[];
  /** What was left out, and why. */
  notes: readonly string[];
}>;

/** True when everything was looked at and nothing is broken; what is in progress is not. */
export const isClean = ({ findings, unknown, overfull }: Audited): boolean =>
  findings.length === 0 && unknown.length === 0 && overfull.length === 0;

/** From a suspect to the second look, milliseconds: long enough for a commit that was between two snapshots. */
const RECHECK_AFTER_MS = 2_000;

/** These hold in every single transaction, so no running workflow excuses them. */
const AT_EVERY_INSTANT: ReadonlySet<InvariantId> = new Set([1, 2]);

/**
 * Looks whether the invariants hold in the databases as they are: read-only, in one consistent snapshot
 * for each database. What looks broken is looked at again, because two databases are never seen at the same instant;
 * what a running workflow may still put right is listed apart.
 *
 * @throws CannotLook when something needed cannot be reached
 */
export async function audit(deps: AuditDeps, options: AuditOptions = {}): Promise<Audited> {
  const { only = INVARIANT_IDS, say = () => undefined, recheckAfterMs = RECHECK_AFTER_MS } = options;
  const wanted = new Set(only);
  await deps.workflows?.check();
  const first = await lookAt(deps, wanted, null, say);
  const suspects = first.suspects;
  if (suspects.length === 0) return answer(wanted, first, [], new Map(), deps);

  say(`${suspects.length} suspects: looked at again in ${recheckAfterMs / 1_000} s`);
  await sleep(recheckAfterMs);
  // Asked before the second look: what has ended by now has written all that it ever will.
  const running = await runningWorkflows(deps, suspects);
  const again = await lookAt(deps, new Set(suspects.map(({ invariant }) => invariant)), suspects, say);
  const confirmed = again.suspects.filter((finding) => first.has(finding));
  // And after it: a repair or a refund may have begun meanwhile.
  const begun = await runningWorkflows(
    deps,
    confirmed.filter(({ row }) => !running.has(row)),
  );
  return answer(wanted, first, confirmed, new Map([...begun, ...running]), deps);
}

function answer(
  wanted: ReadonlySet<InvariantId>,
  look: Look,
  confirmed: readonly Finding[],
  running: ReadonlyMap<string, readonly string[]>,
  { workflows }: AuditDeps,
): Audited {
  const excusable = confirmed.filter(isExcusable);
  const excused = confirmed.filter((one) => one.atWork !== undefined || (isExcusable(one) && running.has(one.row)));
  const unknown = workflows === undefined ? excusable : [];
  const findings = confirmed.filter((one) => !excused.includes(one) && !unknown.includes(one));
  return {
    invariants: INVARIANT_IDS.filter((id) => wanted.has(id)).map((id) => ({
      ...{ id, states: INVARIANTS[id], looked: look.looked(id) },
      findings: findings.filter(({ invariant }) => invariant === id).length,
    })),
    findings,
    inProgress: excused.map((one) => ({ ...one, workflows: running.get(one.row) ?? [one.atWork ?? ''] })),
    unknown,
    overfull: look.overfull,
    notes: look.notes,
  };
}

const isExcusable = ({ invariant, orderId, workflowId }: Finding): boolean =>
  !AT_EVERY_INSTANT.has(invariant) && (orderId !== null || workflowId !== undefined);

async function runningWorkflows(
  { workflows, ...deps }: AuditDeps,
  suspects: readonly Finding[],
): Promise<Map<string, string[]>> {
  const excusable = suspects.filter(isExcusable);
  if (workflows === undefined || excusable.length === 0) return new Map();
  return withSnapshots(
    urlsOf(deps, ['payment']),
    ['payment'],
    ({ payment }) => runningFor(workflows, payment, excusable),
    deps.limits,
  );
}

/** @param again looks only at what these are about; at everything when null */
async function lookAt(
  deps: AuditDeps,
  wanted: ReadonlySet<InvariantId>,
  again: readonly Finding[] | null,
  say: (what: string) => void,
): Promise<Look> {
  const names = databasesOf(wanted);
  const look = new Look();
  const orderIds = again === null ? null : [...new Set(again.flatMap(({ orderId }) => orderId ?? []))];
  if (wanted.has(8)) await lookAtAllViews(deps, look, again, say);
  if (names.length === 0) return look;
  await withSnapshots(
    urlsOf(deps, names),
    names,
    async (from) => {
      // First, because neither Kafka nor the gateway can be held still as the databases are.
      const carriers = wanted.has(7) ? await openCarriers(from, deps.topics) : undefined;
      try {
        if (wanted.has(4) || wanted.has(5)) {
          await compareMoney(from, look, { ledger: ledgerOf(deps), wanted, again, say });
        }
        if (wanted.has(1) || wanted.has(2)) await lookAtStock(from, look, wanted, again, say);
        if (wanted.has(3) || wanted.has(4) || wanted.has(9))
          await lookAtOrders(from, look, wanted, orderIds && orderIdsAmong(orderIds), say);
        if (wanted.has(3)) await lookAtRefunds(from, look, orderIds && orderIdsAmong(orderIds), say);
        if (carriers !== undefined) await lookAtEvents(from, look, carriers, say);
        if (wanted.has(9)) {
          look.count(9, await countRefundRequests(from.payment));
          const differing = await refundsThatAreNotTheirAnswer(from.payment, orderIds && orderIdsAmong(orderIds));
          differing.forEach((finding) => look.add(finding));
        }
        if (wanted.has(6)) {
          const rows = await openRows(from);
          look.count(6, rows.length);
          rows.forEach((row) => look.add(row));
        }
      } finally {
        await carriers?.close();
      }
    },
    deps.limits,
  );
  return look;
}

/** With snapshots of their own: whoever reads views holds up those who exchange them, and the views' must be the oldest. */
async function lookAtAllViews(
  deps: AuditDeps,
  look: Look,
  again: readonly Finding[] | null,
  say: (what: string) => void,
): Promise<void> {
  const { timeZone, limits } = deps;
  if (timeZone === undefined) throw new CannotLook('Invariant 8 needs the time zone of the shop: SHOP_TIME_ZONE.');
  const sources = [...EVENT_SERVICES, 'bus'] as const;
  await withSnapshots(
    urlsOf(deps, ['views']),
    ['views'],
    ({ views }) =>
      withSnapshots(
        urlsOf(deps, sources),
        sources,
        (from) => lookAtViews({ ...from, views }, look, { timeZone, again, say }),
        limits,
      ),
    limits,
  );
}

async function lookAtStock(
  { platform }: Snapshots,
  look: Look,
  wanted: ReadonlySet<InvariantId>,
  again: readonly Finding[] | null,
  say: (what: string) => void,
): Promise<void> {
  const { snapshots, events } = await countStock(platform);
  if (wanted.has(1)) {
    say(`the fold of ${events} rows of the stock ledger`);
    look.count(1, snapshots + events);
    const differences = await snapshotsThatAreNotTheFold(platform, again && aggregatesIn(again), MOST_SUSPECTS + 1);
    differences.forEach((difference) => look.add(asFinding(difference)));
  }
  if (wanted.has(2)) {
    say('reservations and the ledger');
    look.count(2, snapshots + (await countReservations(platform)));
    const stock = await stockThatIsNotReserved(platform, again && aggregatesIn(again));
    const orders = await ordersWhoseStockDisagrees(platform, again && again.flatMap(({ orderId }) => orderId ?? []));
    [...stock, ...orders].forEach((finding) => look.add(finding));
  }
}

const aggregatesIn = (findings: readonly Finding[]): string[] =>
  findings.flatMap(({ invariant, row }) => (invariant <= 2 && row.startsWith(STOCK) ? [row.slice(STOCK.length)] : []));
const STOCK = 'stock ';

function asFinding({ aggregateId, snapshot, fold, ledgerDamaged }: StockDifference): Finding {
  const text = ({ available, reserved, version }: Readonly<{ available: number; reserved: number; version: number }>) =>
    `available ${available}, reserved ${reserved}, version ${version}`;
  const gap = `; its ledger has ${fold.events} rows of ${fold.version} versions, or rows of other stock`;
  return {
    ...{ invariant: 1, row: `stock ${aggregateId}`, orderId: null, shouldBe: text(fold) },
    is: (snapshot === null ? 'no snapshot' : text(snapshot)) + (ledgerDamaged ? gap : ''),
  };
}

const RULES = [
  [3, paidMeansCapturedAndCommitted],
  [4, closedMeansNothingHeld],
  [9, storedAnswerIsTheOrder],
] as const;
/** Between two reports of progress. */
const STEP = 5_000;

async function lookAtOrders(
  from: Snapshots,
  look: Look,
  wanted: ReadonlySet<InvariantId>,
  only: readonly string[] | null,
  say: (what: string) => void,
): Promise<void> {
  const rules = RULES.filter(([id]) => wanted.has(id));
  let count = 0;
  for await (const dossier of dossiers(from, only)) {
    if (++count % STEP === 0) say(`${count} orders`);
    for (const [id, rule] of rules) {
      look.count(id, 1);
      const finding = rule(dossier);
      if (finding !== undefined) look.add(finding);
    }
  }
}

function databasesOf(wanted: ReadonlySet<InvariantId>): readonly AuditedDatabase[] {
  if (wanted.has(7)) return [...EVENT_SERVICES, 'bus'];
  if ([3, 4, 6, 9].some((id) => wanted.has(id as InvariantId))) return EVENT_SERVICES;
  const stock: AuditedDatabase[] = wanted.has(1) || wanted.has(2) ? ['platform'] : [];
  return wanted.has(5) ? [...stock, 'payment'] : stock;
}

/** @throws CannotLook naming what is not set */
function urlsOf({ urls }: Pick<AuditDeps, 'urls'>, names: readonly AuditedDatabase[]): AuditDeps['urls'] {
  const missing = names.filter((name) => urls[name] === undefined).map((name) => `${name.toUpperCase()}_DATABASE_URL`);
  if (missing.length > 0) throw new CannotLook(`Set ${missing.join(', ')}, or run \`npm start\`.`);
  return urls;
}

function ledgerOf({ ledger }: AuditDeps): GatewayLedger {
  if (ledger !== undefined) return ledger;
  throw new CannotLook("Invariants 4 and 5 need the payment provider's books: leave them out with --only.");
}
