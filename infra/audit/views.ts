import type { Finding, Look } from './finding.ts';
import type { Snapshot, Snapshots } from './snapshot.ts';
import { ORDER_RULES } from './views-orders.ts';
import { PAYMENT_RULES } from './views-payments.ts';
import { PRODUCT_RULES } from './views-products.ts';
import { type Progress, readProgress, Waits, waitsOf } from './views-progress.ts';
import { AUDITED_VIEWS, type AuditedView, differencesOf, type ViewDifference, type ViewRule } from './views-rows.ts';
import { salesRules } from './views-sales.ts';
import { findingOf } from './views-text.ts';
import { USER_RULES } from './views-users.ts';

/** Differences whose events are looked for in one statement. */
const BATCH = 1_000;

export type ViewsLook = Readonly<{
  /** IANA name: where the shop's days begin. */
  timeZone: string;
  /** Looks only at the tables that these are about; at everything when null. */
  again: readonly Finding[] | null;
  say: (what: string) => void;
}>;

/**
 * Invariant 8: every row of a view is what its sources say, every source has its row, and every sum is that of its rows.
 * Sums are compared within the views, what they sum with the services, so no sum is ever caught between two databases.
 *
 * The snapshot of the views must be the older one: then a view is never ahead of its sources, and where it is behind, its
 * inbox says which events it has not applied yet. Those rows are told together, as one that is in progress while a relay
 * and a projection are at work.
 */
export async function lookAtViews(from: Snapshots, look: Look, { timeZone, again, say }: ViewsLook): Promise<void> {
  const progress = await readProgress(from);
  const rules = [...USER_RULES, ...PRODUCT_RULES, ...ORDER_RULES, ...PAYMENT_RULES, ...salesRules(timeZone)];
  for (const view of AUDITED_VIEWS) {
    const own = rules.filter((rule) => rule.view === view && (again === null || isSuspected(rule, again)));
    if (own.length === 0) continue;
    say(`the view ${view}`);
    const waits = new Waits();
    for (const rule of own) await lookAtRule(rule, from, look, { progress, waits });
    if (waits.count > 0) look.add(behind(view, waits, progress));
  }
  (await deadLetters(from.bus)).forEach((finding) => look.add(finding));
}

const isSuspected = ({ view, table }: ViewRule, again: readonly Finding[]): boolean =>
  again.some(({ invariant, row }) => invariant === 8 && (row === `view ${view}` || row.startsWith(`${table} `)));

type Behind = Readonly<{ progress: Progress; waits: Waits }>;

async function lookAtRule(rule: ViewRule, from: Snapshots, look: Look, { progress, waits }: Behind): Promise<void> {
  let batch: ViewDifference[] = [];
  const settle = async (): Promise<void> => {
    const found = await waitsOf(rule, batch, from, progress);
    batch.forEach((difference, index) => {
      const finding = findingOf(rule, difference);
      const wait = found[index];
      if (wait === undefined) look.add(finding);
      else {
        waits.add(wait);
        look.defer(8, finding.row);
      }
    });
    batch = [];
  };
  for await (const difference of differencesOf(rule, from.views, from[rule.from], () => look.count(8, 1))) {
    if (batch.push(difference) >= BATCH) await settle();
  }
  await settle();
}

function behind(view: AuditedView, waits: Waits, progress: Progress): Finding {
  const atWork = waits.atWork(view, progress);
  return {
    ...{ invariant: 8, row: `view ${view}`, orderId: null },
    is: `${waits.text}${atWork === undefined ? '; nobody is at work' : ''}`,
    shouldBe: 'up to date: `npm run events` brings events to the bus and to the views',
    ...(atWork !== undefined && { atWork }),
  };
}

/** Events that a view could not apply: its rows stay behind until somebody decides. */
async function deadLetters(bus: Snapshot): Promise<Finding[]> {
  const rows = await bus.query<{ group: string; letters: string; subjects: string; redriven: boolean }>(
    `select group_name as "group", count(*)::text as letters, count(distinct subject)::text as subjects,
       bool_and(redriven_at is not null) as redriven
     from dead_letters where group_name like 'view-%' and discarded_at is null group by 1 order by 1`,
  );
  return rows.map(({ group, letters, subjects, redriven }) => ({
    ...{ invariant: 8, row: `dead letters of ${group}`, orderId: null },
    is: `${letters} events of ${subjects} subjects were not applied`,
    shouldBe: 'none: `npm run events:dead-letters` says why, and redrives them',
    ...(redriven && { atWork: 'they are redriven' }),
  }));
}
