import { orderNumberOf } from '../../domain/checkout.ts';
import type { AnswerFacts, Dossier, OnePayment } from './dossiers.ts';
import type { Finding } from './finding.ts';

/** What is wrong with a dossier, or nothing. */
type Rule = (dossier: Dossier) => Finding | undefined;

/** The state of the one payment that holds the money, by the state of a paid order. */
const PAYMENT_OF: Readonly<Record<string, string>> = {
  PAID: 'CAPTURED',
  PARTIALLY_REFUNDED: 'PARTIALLY_REFUNDED',
  REFUNDED: 'REFUNDED',
};
const CLOSED = new Set(['FAILED', 'CANCELLED']);

/**
 * Invariant 3: an order is PAID if, and only if, it has exactly one CAPTURED payment of its amount and currency and its
 * stock is COMMITTED; PARTIALLY_REFUNDED and REFUNDED orders have a payment of that state and equal amounts. The
 * decision rows of both services say the same.
 */
export const paidMeansCapturedAndCommitted: Rule = (dossier) => {
  const { order, header, payment } = dossier;
  const status = order?.status ?? null;
  const wanted = status === null ? undefined : PAYMENT_OF[status];
  const payments = payment?.payments ?? [];
  if (order === undefined || wanted === undefined) {
    const taken = payments.some((one) => one.status === 'CAPTURED' || one.status === 'PARTIALLY_REFUNDED');
    if (!taken && header?.state !== 'COMMITTED') return undefined;
    return finding(3, dossier, 'an order that is PAID or refunded, or no captured payment and no committed stock');
  }
  const holding = payments.filter((one) => one.status === wanted);
  const [own] = holding;
  const right =
    own !== undefined &&
    holding.length === 1 &&
    own.captured === order.total &&
    own.currency === order.currency &&
    own.refunded === order.refunded &&
    own.id === order.paymentId &&
    payments.every((one) => one === own || netOf(one) === 0n) &&
    header?.state === 'COMMITTED' &&
    order.mark === 'PAID' &&
    payment?.decision === 'CAPTURED';
  if (right) return undefined;
  const money = `one payment ${wanted} ${order.total} ${order.currency}, refunded ${order.refunded}`;
  return finding(3, dossier, `${money}, under both marks, and stock COMMITTED`);
};

/**
 * Invariant 4: an order that is FAILED or CANCELLED, or that was only ever marked, holds no stock, and its payments
 * keep no money. A LATE_CAPTURED payment counts until it is refunded. Nor is its payment decided CAPTURED, unless what
 * was captured is REFUNDED.
 */
export const closedMeansNothingHeld: Rule = (dossier) => {
  const { order, header, payment } = dossier;
  const status = order?.status ?? null;
  if (status !== null && !CLOSED.has(status)) return undefined;
  const net = (payment?.payments ?? []).reduce((sum, one) => sum + netOf(one), 0n);
  if (header?.state === 'RESERVED')
    return finding(4, dossier, 'no stock RESERVED for an order that is closed or missing');
  if (net !== 0n) return finding(4, dossier, 'all money given back: captured less refunded is 0');
  const givenBack = (payment?.payments ?? []).some((one) => one.status === 'REFUNDED');
  if (payment?.decision === 'CAPTURED' && !givenBack) {
    return finding(4, dossier, 'a decision other than CAPTURED, or a payment that is REFUNDED');
  }
  if (status !== null && order?.mark !== 'CLOSED') return finding(4, dossier, `mark CLOSED, as the order is ${status}`);
  return undefined;
};

/**
 * Invariant 9: at most one order per caller, route and idempotency key: the order's id is made of these, so it has that
 * one request's hash and caller, and the number that follows from the id. The answers stored in the header and in the
 * order's mark are the order: total, lines and instant. A refusal in the header means that there is no order, or one
 * that was closed at once.
 */
export const storedAnswerIsTheOrder: Rule = (dossier) => {
  const { orderId, order, header } = dossier;
  const complain = (is: string, shouldBe: string): Finding => complaint(9, orderId, is, shouldBe);
  if (order === undefined || order.status === null) {
    if (order !== undefined && order.answer !== null)
      return complain('a mark with an order, which does not exist', 'that order');
    const settled = header?.state === 'RELEASED' || header?.state === 'COMMITTED';
    if (!settled || header.refusal !== null || header.total === null) return undefined;
    return complain('the stored answer is an order, which does not exist', 'that order, or a refusal on record');
  }
  if (order.orderNumber !== orderNumberOf(orderId)) {
    return complain(`order number ${order.orderNumber}`, `order number ${orderNumberOf(orderId)}`);
  }
  if (header === undefined) return complain('an order whose request is not on record', 'a header with its answer');
  if (header.userId !== order.userId || header.requestHash !== order.requestHash) {
    return complain(
      `order of customer ${order.userId}, request ${order.requestHash}`,
      `of customer ${header.userId}, request ${header.requestHash}, as in the header`,
    );
  }
  const [marked, real] = [order.answer === null ? 'nothing' : answerText(order.answer), answerText(order)];
  if (marked !== real) return complain(`answer in the order's mark: ${marked}`, `the order: ${real}`);
  if (header.refusal !== null) {
    if (CLOSED.has(order.status)) return undefined;
    return complain(`order ${order.status}, stored answer ${header.refusal}`, 'an answer with the order');
  }
  const stored = answerText(header);
  return stored === real ? undefined : complain(`stored answer: ${stored}`, `the order: ${real}`);
};

const answerText = ({ total, currency, placedAt, lines }: AnswerFacts): string =>
  `${total} ${currency} at ${placedAt} for ${lines}`;

const netOf = ({ captured, refunded }: OnePayment): bigint => BigInt(captured) - BigInt(refunded);

const finding = (invariant: 3 | 4, dossier: Dossier, shouldBe: string): Finding =>
  complaint(invariant, dossier.orderId, summaryOf(dossier), shouldBe);

const complaint = (invariant: 3 | 4 | 9, orderId: string, is: string, shouldBe: string): Finding => ({
  ...{ invariant, orderId, row: `order ${orderId}`, is, shouldBe },
});

/** What the three services say, in one line. */
function summaryOf({ order, header, payment }: Dossier): string {
  const payments = (payment?.payments ?? []).map(
    ({ id, status, captured, currency, refunded }) =>
      `payment ${id} ${status}, captured ${captured}${currency === null ? '' : ` ${currency}`}, refunded ${refunded}`,
  );
  const own =
    order === undefined || order.status === null
      ? `no order (mark ${order?.mark ?? 'none'})`
      : `order ${order.status} ${order.total} ${order.currency}, refunded ${order.refunded} (mark ${order.mark ?? 'none'})`;
  const money = payments.length === 0 ? 'no payment' : payments.join(', ');
  return `${own}; ${money} (mark ${payment?.decision ?? 'none'}); stock ${header?.state ?? 'none'}`;
}
