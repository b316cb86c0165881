/** What must hold in the databases, by the numbers that `npm run audit` shows. */
export const INVARIANTS = {
  1: 'every snapshot is the fold of its ledger',
  2: 'no stock below zero; reserved stock, headers, reservations and ledger agree',
  3: 'a paid order has one captured payment and committed stock; no more is refunded or returned',
  4: 'a closed or missing order holds no stock and no money',
  5: "the gateway's ledger, the payments and their refunds say the same",
  6: 'whatever is open has a running workflow',
  7: 'every event is on the bus, in the order of its aggregate and without gaps',
  8: 'every row of a view is what its sources say, and every sum that of its rows',
  9: 'one order or refund per request, and the stored answer is it',
} as const;

export type InvariantId = keyof typeof INVARIANTS;

export const INVARIANT_IDS = Object.keys(INVARIANTS).map(Number) as readonly InvariantId[];

/** One row that breaks an invariant. */
export type Finding = Readonly<{
  invariant: InvariantId;
  /** The row, by kind and id; unique within its invariant. */
  row: string;
  /** The order it belongs to, whose running workflows excuse it; null for what belongs to none. */
  orderId: string | null;
  /** A workflow besides those of the order that may still put it right. */
  workflowId?: string;
  /** What besides workflows is about to put it right. */
  atWork?: string;
  /** The charges in the gateway's books that it is about, by the provider's ids: they are looked at again. */
  charges?: readonly string[];
  is: string;
  shouldBe: string;
}>;

/** Most suspects that are kept for each invariant: what is worse than this needs no longer list. */
export const MOST_SUSPECTS = 10_000;

/** What one look at the databases gave: rows looked at and suspects, for each invariant. Its size is bounded. */
export class Look {
  readonly #looked = new Map<InvariantId, number>();
  readonly #suspects = new Map<InvariantId, Map<string, Finding>>();
  readonly #overfull = new Set<InvariantId>();
  readonly #deferred = new Set<string>();
  readonly #notes = new Set<string>();

  /** What was left out of this look, and why. */
  note(invariant: InvariantId, text: string): void {
    this.#notes.add(`${invariant}: ${text}`);
  }

  get notes(): readonly string[] {
    return [...this.#notes];
  }

  count(invariant: InvariantId, rows: number): void {
    this.#looked.set(invariant, this.looked(invariant) + rows);
  }

  looked(invariant: InvariantId): number {
    return this.#looked.get(invariant) ?? 0;
  }

  /** Two complaints about one row under one invariant become one finding. */
  add(finding: Finding): void {
    const { invariant, row } = finding;
    const known = this.#suspects.get(invariant) ?? new Map<string, Finding>();
    this.#suspects.set(invariant, known);
    const earlier = known.get(row);
    if (earlier === undefined && known.size >= MOST_SUSPECTS) this.#overfull.add(invariant);
    else if (earlier === undefined) known.set(row, finding);
    else known.set(row, { ...earlier, ...merged(earlier, finding) });
  }

  /** A row that something else explains for now: no suspect, but one to whoever looks again. */
  defer(invariant: InvariantId, row: string): void {
    if (this.#deferred.size < MOST_SUSPECTS) this.#deferred.add(`${invariant} ${row}`);
  }

  has({ invariant, row }: Finding): boolean {
    return (this.#suspects.get(invariant)?.has(row) ?? false) || this.#deferred.has(`${invariant} ${row}`);
  }

  get suspects(): Finding[] {
    return [...this.#suspects.values()].flatMap((rows) => [...rows.values()]);
  }

  /** Invariants with more suspects than are kept. */
  get overfull(): readonly InvariantId[] {
    return [...this.#overfull];
  }
}

const merged = (earlier: Finding, later: Finding): Pick<Finding, 'is' | 'shouldBe' | 'charges'> => ({
  is: `${earlier.is}; ${later.is}`,
  shouldBe: `${earlier.shouldBe}; ${later.shouldBe}`,
  charges: [...new Set([...(earlier.charges ?? []), ...(later.charges ?? [])])],
});
