import type { Finding } from './finding.ts';

export type RefundLine = Readonly<{ lineNo: number; quantity: number; restock: boolean }>;

/** One refund with the payment that it is of. Amounts are minor units, as text. */
export type Refund = Readonly<{
  id: string;
  status: string;
  amount: string;
  currency: string;
  paymentId: string;
  /** Gives back what was taken for an order that was never paid. */
  settles: boolean;
  captured: string;
  capturedCurrency: string | null;
  lines: readonly RefundLine[];
}>;

/** One line of the order; `stock` and `state` are those of its reservation, null where it has none. */
export type OrderLine = Readonly<{ lineNo: number; quantity: number; stock: string | null; state: string | null }>;

/** Units that came back to one row of stock, as text. */
export type Returned = Readonly<{ stock: string; units: string }>;

export type RefundFacts = Readonly<{
  orderId: string;
  refunds: readonly Refund[];
  lines: readonly OrderLine[];
  returned: ReadonlyMap<string, readonly Returned[]>;
}>;

/**
 * What is wrong with the refunds of one order. A FAILED refund counts for nothing: its amount and units are free again;
 * a PENDING one counts as if it had succeeded, but returns no stock yet.
 */
export const refundFindings = (facts: RefundFacts): Finding[] => [
  ...moreThanCaptured(facts),
  ...moreThanOrdered(facts),
  ...stockNotAsRefunded(facts),
];

/** PENDING and SUCCEEDED refunds of a payment are together no more than was captured, and in its currency. */
function moreThanCaptured({ orderId, refunds }: RefundFacts): Finding[] {
  const findings: Finding[] = [];
  for (const [paymentId, own] of byPayment(refunds.filter(counts))) {
    const [{ captured, capturedCurrency } = { captured: '0', capturedCurrency: null }] = own;
    const sum = own.reduce((total, { amount }) => total + BigInt(amount), 0n);
    const row = { invariant: 3, row: `payment ${paymentId}`, orderId } as const;
    if (sum > BigInt(captured)) {
      findings.push({ ...row, is: `refunds of ${sum}`, shouldBe: `no more than the captured ${captured}` });
    }
    const foreign = own.filter(({ currency }) => currency !== capturedCurrency);
    if (foreign.length === 0) continue;
    const is = foreign.map(({ id, amount, currency }) => `refund ${id} of ${amount} ${currency}`).join(', ');
    findings.push({ ...row, is, shouldBe: `refunds in ${capturedCurrency ?? 'no currency: nothing was captured'}` });
  }
  return findings;
}

/** Over all refunds, no more units of a line come back than were ordered. */
function moreThanOrdered({ orderId, refunds, lines }: RefundFacts): Finding[] {
  const ordered = new Map(lines.map(({ lineNo, quantity }) => [lineNo, quantity]));
  const back = new Map<number, number>();
  for (const { lineNo, quantity } of refunds.filter(counts).flatMap((one) => one.lines)) {
    back.set(lineNo, (back.get(lineNo) ?? 0) + quantity);
  }
  return [...back].flatMap(([lineNo, units]): Finding[] => {
    const most = ordered.get(lineNo) ?? 0;
    if (units <= most) return [];
    const row = { invariant: 3, row: `line ${lineNo} of order ${orderId}`, orderId } as const;
    return [{ ...row, is: `${units} units refunded`, shouldBe: `no more than the ${most} that were ordered` }];
  });
}

/** The ledger of stock has exactly the units that SUCCEEDED refunds put on sale again, and only COMMITTED ones can. */
function stockNotAsRefunded({ orderId, refunds, lines, returned }: RefundFacts): Finding[] {
  const lineOf = new Map(lines.map((line) => [line.lineNo, line]));
  return refunds.flatMap((refund): Finding[] => {
    const due = refund.status === 'SUCCEEDED' ? refund.lines.filter(({ restock }) => restock) : [];
    const wanted = due.map(({ lineNo, quantity }) => `${quantity} of ${lineOf.get(lineNo)?.stock ?? `line ${lineNo}`}`);
    const found = (returned.get(refund.id) ?? []).map(({ stock, units }) => `${units} of ${stock}`);
    const row = { invariant: 3, row: `refund ${refund.id}`, orderId } as const;
    const [is, shouldBe] = [textOf(found), textOf(wanted)];
    const notSold = due.filter(({ lineNo }) => lineOf.get(lineNo)?.state !== 'COMMITTED');
    return [
      ...(is === shouldBe ? [] : [{ ...row, is: `${refund.status}, ${is}`, shouldBe }]),
      ...notSold.map(({ lineNo }) => ({
        ...row,
        is: `line ${lineNo} returned, its stock ${lineOf.get(lineNo)?.state ?? 'never reserved'}`,
        shouldBe: 'returns of COMMITTED stock alone',
      })),
    ];
  });
}

const counts = ({ status }: Refund): boolean => status !== 'FAILED';

const textOf = (units: readonly string[]): string =>
  units.length === 0 ? 'nothing returned to stock' : `returned to stock: ${[...units].sort().join(', ')}`;

function byPayment(refunds: readonly Refund[]): Map<string, Refund[]> {
  const groups = new Map<string, Refund[]>();
  for (const refund of refunds) groups.set(refund.paymentId, [...(groups.get(refund.paymentId) ?? []), refund]);
  return groups;
}
