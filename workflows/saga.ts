import {
  ActivityFailure,
  ApplicationFailure,
  CancellationScope,
  isCancellation,
  upsertSearchAttributes,
} from '@temporalio/workflow';

import type { Abandoned } from '../activities/payments/contract.ts';
import {
  type CheckoutInput,
  type CheckoutResult,
  type CheckoutStatus,
  orderNumberOf,
  type Placed,
  type PlacedOrder,
  type SagaEnd,
} from '../domain/checkout.ts';
import type { Refusal } from '../domain/errors.ts';
import { Attention } from './attention.ts';
import { SEARCH_ATTRIBUTES, type StatusAnswer, type TimelineEntry } from './contract.ts';
import { refusalIn } from './failures.ts';
import type { Parkable } from './parking.ts';
import { Story } from './story.ts';
import { Undos } from './undos.ts';

/** Final for its key: whoever repeats the request gets it again, so it is no "try later". */
const OUTAGE: Refusal = {
  code: 'CHECKOUT_FAILED',
  message: 'a service was down for too long, so the checkout was given up: buy again with a new key',
};
const CANCEL: Refusal = { code: 'CHECKOUT_CANCELLED', message: 'the checkout was cancelled' };
const HOLD_OVER: Refusal = {
  code: 'HOLD_EXPIRED',
  message: 'the payment did not arrive in time, so the goods were given free: order again if you still want them',
};

/** The state of one checkout, and what operators see of it. */
export class Saga implements Parkable {
  readonly input: CheckoutInput;
  /** Everything that a cancel may interrupt. */
  readonly beforePivot = new CancellationScope();
  readonly undos = new Undos();
  readonly attention = new Attention((what) => this.#showAttention(what));
  /** Why the checkout is undone; undefined while it may succeed. */
  end: SagaEnd | undefined;
  placed: Placed | undefined;
  /** What became of the payment when it was given up; undefined while nobody could say. */
  abandoned: Abandoned | undefined;
  /** The order was closed although its money was captured, which is on record as to be given back. */
  goesBack = false;
  /** The order service has said that the order is closed. */
  closed = false;
  /** Known from the capture on: the saga only goes forward, unless it was cancelled. */
  paymentId: string | undefined;
  /** Something became of the payment since it was looked at: any number of signals are one look. */
  woken = false;
  /** Set when all is done but the handlers: `cancel` waits for it. */
  ended = false;
  #status: CheckoutStatus = 'RESERVING';
  readonly #story: Story;

  constructor(input: CheckoutInput) {
    this.input = input;
    this.#story = new Story(`Order ${orderNumberOf(input.orderId)}`);
    this.note('RESERVING');
  }

  get orderId(): string {
    return this.input.orderId;
  }

  get cancelled(): boolean {
    return this.end?.status === 'CANCELLED';
  }

  /** True once the money is ours for good: cancelling is then too late. */
  get pastPivot(): boolean {
    return this.#status === 'PAID' || this.#status === 'COMPLETED';
  }

  get status(): StatusAnswer {
    return {
      orderId: this.input.orderId,
      orderNumber: orderNumberOf(this.input.orderId),
      status: this.attention.parked.length > 0 ? 'NEEDS_ATTENTION' : this.#status,
      failureCode: this.end?.refusal.code ?? null,
      parked: this.attention.parked,
    };
  }

  get timeline(): readonly TimelineEntry[] {
    return this.#story.timeline;
  }

  reach(status: CheckoutStatus): void {
    this.#status = status;
    this.note(status);
    // The others pass too quickly to be worth an event of the history.
    if (status === 'UNDOING' || status === 'AWAITING_PAYMENT') this.#upsertStatus(status);
  }

  /** The order exists: the shopper is answered, payment goes on. */
  place(order: PlacedOrder): void {
    this.placed = { order };
    this.#status = 'PLACED';
    this.note('PLACED');
    upsertSearchAttributes([
      { key: SEARCH_ATTRIBUTES.checkoutStatus, value: 'PLACED' },
      { key: SEARCH_ATTRIBUTES.orderTotalMinor, value: order.total.minor },
    ]);
  }

  /**
   * From here on cancel wins, even over a capture that succeeds meanwhile: the undo refunds it. Repeat-safe. A saga that
   * is paid or that ended otherwise stays what it is: its order may be closed with that end already.
   */
  cancel(): void {
    if (this.pastPivot || this.end !== undefined) return;
    this.end = { status: 'CANCELLED', refusal: CANCEL };
    this.note('cancel was accepted');
    this.beforePivot.cancel();
  }

  /** The hold is over and nobody knows of a payment. The undo asks the locked row, which may know better. */
  expire(): void {
    this.end ??= { status: 'EXPIRED', refusal: HOLD_OVER };
    this.note(`stopped: ${HOLD_OVER.code}`);
  }

  /**
   * Turns what stopped the saga into its end: a refusal, an exhausted outage or a cancellation.
   *
   * @throws the error itself when it is none of these: a person must look
   */
  stop(error: unknown): void {
    const refusal = error instanceof ActivityFailure ? refusalIn(error) : undefined;
    if (refusal !== undefined) this.end ??= { status: statusOf(refusal), refusal };
    else if (isCancellation(error)) this.end ??= { status: 'CANCELLED', refusal: CANCEL };
    else if (error instanceof ActivityFailure) this.end ??= { status: 'REJECTED', refusal: OUTAGE };
    else throw error;

    // A refused reservation is on record and no run of this checkout came further; every other failure of it may have
    // landed, and one that was abandoned was reserved before. What is on record is what a repeated request is answered,
    // so `placed` answers it too, even if the checkout was cancelled meanwhile.
    const isReservation = error instanceof ActivityFailure && error.activityType === 'reserveStock';
    if (isReservation && refusal !== undefined && refusal.code !== 'CHECKOUT_ABANDONED') {
      this.undos.dropAll();
      this.placed ??= { refusal };
    }
    this.note(`stopped: ${this.theEnd.refusal.code}`);
  }

  /** Whether a capture is enough to go forward: nobody cancelled, and the order is known to be there. */
  get mayGoForward(): boolean {
    return !this.cancelled && this.placed !== undefined && 'order' in this.placed;
  }

  /** The money is captured and pays for the order: nothing is undone, and whatever ended the saga is forgotten. */
  goForward(paymentId: string): void {
    this.paymentId = paymentId;
    this.end = undefined;
    this.note('captured before it could be undone');
  }

  /** `placed` is answered where it is still open: this saga makes no order any more. */
  answerRefusal(): void {
    this.placed ??= { refusal: this.theEnd.refusal };
  }

  /** What a repeated request is answered when the order was never placed; null when it was. */
  get unplaced(): Refusal | null {
    return this.placed !== undefined && 'order' in this.placed ? null : this.theEnd.refusal;
  }

  /** The end of a saga that is being undone. */
  get theEnd(): SagaEnd {
    if (this.end !== undefined) return this.end;
    throw ApplicationFailure.nonRetryable('an undo runs although nothing ended the saga', 'NO_END');
  }

  /** The captured payment of a saga that goes forward. */
  get paid(): string {
    if (this.paymentId !== undefined) return this.paymentId;
    throw ApplicationFailure.nonRetryable('the saga goes forward although nothing is paid', 'NOT_PAID');
  }

  /** The last word to operators: final status and code. */
  finish(): CheckoutResult {
    const { end } = this;
    const status = end?.status ?? 'COMPLETED';
    this.#status = status;
    this.note(status);
    upsertSearchAttributes([
      { key: SEARCH_ATTRIBUTES.checkoutStatus, value: status },
      ...(end === undefined ? [] : [{ key: SEARCH_ATTRIBUTES.failureCode, value: end.refusal.code }]),
    ]);
    if (end === undefined) return { status: 'COMPLETED' };
    const { code, detail } = end.refusal;
    return { status: end.status, code, ...(detail !== undefined && { detail }) };
  }

  #showAttention(what: string): void {
    this.note(what);
    this.#upsertStatus(this.status.status);
  }

  #upsertStatus(status: StatusAnswer['status']): void {
    upsertSearchAttributes([{ key: SEARCH_ATTRIBUTES.checkoutStatus, value: status }]);
  }

  /** One line for operators, in the details and in the query `timeline`. */
  note(what: string): void {
    this.#story.note(what);
  }
}

/** The bank may close the account before our own clock says so: it is the same end. */
const statusOf = ({ code }: Refusal): SagaEnd['status'] => (code === 'HOLD_EXPIRED' ? 'EXPIRED' : 'REJECTED');
