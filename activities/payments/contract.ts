import type { PaymentChoice } from '../../domain/checkout.ts';
import type { Refusal } from '../../domain/errors.ts';
import type { Money } from '../../domain/money.ts';
import type { PaymentInstructions, PaymentMethod } from '../../domain/payment.ts';
import type { BegunRefund, RefundInput } from '../../domain/refund.ts';
import type { Databases } from '../../infra/databases.ts';
import type { PaymentGateway } from '../../infra/payment-gateway/port.ts';

export type PaymentDeps = Pick<Databases, 'payment'> &
  Readonly<{
    gateway: PaymentGateway;
    /** How long stock waits for a payment that the shopper must finish, milliseconds per method. */
    holdMs: Readonly<Record<PaymentMethod, number>>;
    /** Aborts a gateway call when the worker must stop; the outcome is then in doubt, never "failed". */
    signal: () => AbortSignal;
  }>;

export type CaptureInput = Readonly<{ orderId: string; customerId: string; amount: Money; payment: PaymentChoice }>;

/** How the payment of an order stands. A final "no" is no state but a refusal. */
export type PaymentState = Readonly<
  | { status: 'CAPTURED'; paymentId: string }
  | {
      status: 'AWAITING_CONFIRMATION';
      paymentId: string;
      instructions: PaymentInstructions;
      /** ISO instant of the payment database's clock, and how far away it is, milliseconds. */
      expiresAt: string;
      holdMs: number;
    }
>;

/** `giveBack`: the order goes forward in no case, also when the money was captured before. */
export type AbandonInput = Readonly<{ orderId: string; giveBack?: boolean }>;

/**
 * `refusal` is the "no" on record that closed the payment before; null where it was given up, and where it was captured
 * but is on record as to be given back: such an order goes forward in no case.
 */
export type Abandoned = Readonly<
  { outcome: 'CANCELLED'; refusal: Refusal | null } | { outcome: 'ALREADY_CAPTURED'; paymentId: string }
>;

/**
 * `mismatch`: another amount or currency than was asked had been taken, and a person must look. `LOOK_AGAIN`: a charge may still land; the same step must be called again after so many milliseconds.
 */
export type Settled = Readonly<
  | { outcome: 'NOTHING_CHARGED' }
  | { outcome: 'REFUNDED'; paymentId: string; amount: Money; mismatch?: true }
  | { outcome: 'LOOK_AGAIN'; afterMs: number }
>;

type OrderRef = Readonly<{ orderId: string }>;
export type WebhookRef = Readonly<{ provider: string; eventId: string }>;
export type WebhookOutcome = 'APPLIED' | 'UNCHANGED' | 'LATE_CAPTURE' | 'UNKNOWN_CHARGE';

/** What a provider's event led to. */
export interface WebhookActivities {
  /**
   * Asks the gateway what became of the charge and writes it down, as the waiting checkout would. Repeat-safe.
   * `LATE_CAPTURE`: money was taken for an order that is given up; settle it. Also where it was given back before, with
   * `wasSettled`: whoever did that may have been lost before it was in the order's history.
   */
  applyWebhook(
    ref: WebhookRef,
  ): Promise<Readonly<{ outcome: WebhookOutcome; orderId: string | null; wasSettled?: true }>>;
  /** The order whose charge the event is about; null where no payment of ours has it. Reads only. */
  readWebhook(ref: WebhookRef): Promise<Readonly<{ orderId: string | null }>>;
  /** Writes the outcome down, once: the event is done. */
  closeWebhook(input: WebhookRef & Readonly<{ outcome: WebhookOutcome }>): Promise<void>;
}

/** Units that an order line has, and what the returned ones cost. */
export type RefundableLine = Readonly<{
  lineNo: number;
  quantity: number;
  restock: boolean;
  ordered: number;
  valueMinor: number;
}>;
export type BeginRefundInput = RefundInput & Readonly<{ lines: readonly RefundableLine[] }>;
export type RefundRef = Readonly<{ refundId: string }>;

/** The payment service's half of a refund. */
export interface RefundActivities {
  /**
   * Puts the refund on record: from now on its amount counts against the capture, its units against the order. The
   * first answer stays, a refusal too.
   *
   * @throws CheckoutError ORDER_NOT_REFUNDABLE, REFUND_EXCEEDS_CAPTURE, REFUND_QUANTITY_EXCEEDED,
   *   IDEMPOTENCY_KEY_REUSED, NOT_FOUND (input without a request, and none on record)
   */
  beginRefund(input: BeginRefundInput): Promise<BegunRefund>;
  /** Asks the gateway, once per refund. A final "no" is an answer; pending is an outage that is asked for again. */
  refundAtGateway(ref: RefundRef): Promise<Readonly<{ status: 'SUCCEEDED' | 'FAILED'; failureCode: string | null }>>;
  /** Books it on the payment, or frees the amount again. Repeat-safe. */
  finishRefund(
    input: RefundRef & Readonly<{ status: 'SUCCEEDED' | 'FAILED'; failureCode: string | null }>,
  ): Promise<void>;
}

/** One page of leftovers, in the order of `after`; `next` is null at the end. */
export type Page<T> = Readonly<{ items: readonly T[]; next: string | null }>;
export type PageInput = Readonly<{ after: string | null; limit: number }>;

/** Money of an order that moved lately: captured and kept, or `settled`, which is given back for good. */
export type MovedPayment = Readonly<{ orderId: string; paymentId: string; settled: boolean }>;

/** What the payment service knows to be unfinished. Reads only. */
export interface PaymentFinders {
  /** Orders with an open or in-doubt payment, or with money that a closed payment still owes. */
  findOpenPayments(page: PageInput): Promise<Page<OrderRef>>;
  /** Refunds without an end, settlements excepted: those belong to their order. */
  findPendingRefunds(page: PageInput): Promise<Page<RefundRef & OrderRef>>;
  findOpenWebhooks(page: PageInput): Promise<Page<WebhookRef>>;
  /**
   * Payments that were captured and are kept, or were settled, within the last `sinceMs`: whether the order agrees, only
   * the order service can say.
   */
  findMovedPayments(page: PageInput & Readonly<{ sinceMs: number }>): Promise<Page<MovedPayment>>;
  /** Orders whose payment differs from the gateway's books, looking at what moved within the last `sinceMs`. */
  findLedgerDifferences(input: PageInput & Readonly<{ sinceMs: number }>): Promise<Page<OrderRef>>;
}
