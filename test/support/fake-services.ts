import type { InventoryActivities } from '../../activities/inventory/activities.ts';
import type { InventoryReturnActivities } from '../../activities/inventory/contract.ts';
import type { OrderActivities } from '../../activities/orders/activities.ts';
import type { OrderMoneyActivities } from '../../activities/orders/contract.ts';
import type { PaymentActivities } from '../../activities/payments/activities.ts';
import type { PaymentFinders, RefundActivities, WebhookActivities } from '../../activities/payments/contract.ts';
import type { PruneWebhookActivities } from '../../activities/payments/prune-webhooks.ts';
import { withRefusals } from '../../activities/refusals.ts';
import type { PruneActivities } from '../../activities/views/prune.ts';
import type { RebuildActivities } from '../../activities/views/rebuild.ts';
import type { StatisticsActivities } from '../../activities/views/statistics.ts';
import { type CheckoutInput, placedOrder, type PricedLine, type Reservation } from '../../domain/checkout.ts';
import { CheckoutError, type ErrorCode } from '../../domain/errors.ts';

type Steps = InventoryActivities &
  InventoryReturnActivities &
  OrderActivities &
  OrderMoneyActivities &
  PaymentActivities &
  WebhookActivities &
  RefundActivities &
  PaymentFinders &
  RebuildActivities &
  PruneActivities &
  PruneWebhookActivities &
  StatisticsActivities;
export type StepName = keyof Steps;
export type InputOf<K extends StepName> = Parameters<Steps[K]>[0];
export type AnswerOf<K extends StepName> = Steps[K] extends (input: never) => Promise<infer Answer> ? Answer : never;

/** What a service does in a test. `call` counts the calls of this step for this order, from 1. */
export type Behaviour<K extends StepName> = (input: InputOf<K>, call: number) => AnswerOf<K> | Promise<AnswerOf<K>>;
export type Script = Partial<{ [K in StepName]: Behaviour<K> }>;
export type Call = Readonly<{ step: StepName; input: unknown }>;

/** The payment of every fake capture. */
export const PAYMENT_ID = '7b1f4a52-5f1e-5d0c-9d59-0d7a4f3a1c11';

/** One unit costs this, in minor units of KRW. */
export const UNIT_MINOR = 1_500;

const NOTHING_FOUND = { items: [], next: null };

/** A shop where everything goes well. */
const GOOD = {
  reserveStock: (input) => reservationOf(input),
  createOrder: ({ orderId, reservation }) => placedOrder(orderId, reservation),
  capturePayment: () => ({ status: 'CAPTURED', paymentId: PAYMENT_ID }),
  markOrderPaid: () => undefined,
  commitStock: () => undefined,
  releaseStock: () => undefined,
  closeOrder: () => undefined,
  recordResolution: () => undefined,
  abandonPayment: () => ({ outcome: 'CANCELLED', refusal: null }),
  settleWithGateway: () => ({ outcome: 'NOTHING_CHARGED' }),
  checkPayment: () => ({ status: 'CAPTURED', paymentId: PAYMENT_ID }),
  awaitPayment: () => undefined,
  recordSettlement: () => undefined,
  applyWebhook: () => ({ outcome: 'UNKNOWN_CHARGE', orderId: null }),
  readWebhook: () => ({ orderId: null }),
  closeWebhook: () => undefined,
  readRefundable: ({ lines }) => lines.map((line) => ({ ...line, ordered: line.quantity, valueMinor: UNIT_MINOR })),
  beginRefund: ({ refundId, orderId, request, lines }) => ({
    refundId,
    orderId,
    paymentId: PAYMENT_ID,
    amount: request?.amount ?? { minor: UNIT_MINOR, currency: 'KRW' },
    reason: request?.reason ?? 'on record',
    by: request?.by ?? 'operator-7',
    requestHash: request?.requestHash ?? 'a'.repeat(64),
    lines,
  }),
  refundAtGateway: () => ({ status: 'SUCCEEDED', failureCode: null }),
  finishRefund: () => undefined,
  recordRefund: () => undefined,
  recordRefundFailure: () => undefined,
  restock: () => undefined,
  readHeader: () => ({ customerId: '1', requestHash: 'a'.repeat(64), state: 'RESERVED' }),
  readOrderState: () => ({ state: 'CREATED', placed: true }),
  findReservedOrders: () => NOTHING_FOUND,
  findPendingOrders: () => NOTHING_FOUND,
  findOpenPayments: () => NOTHING_FOUND,
  findPendingRefunds: () => NOTHING_FOUND,
  findOpenWebhooks: () => NOTHING_FOUND,
  findMovedPayments: () => NOTHING_FOUND,
  findUnfinishedAmong: () => [],
  findLedgerDifferences: () => NOTHING_FOUND,
  rebuildView: ({ view }) => ({
    ...{ view, result: 'SWAPPED', source: 'log', applied: 1_200, leftOut: 0, differences: 0, lacking: 0 },
  }),
  findSalesDifferences: () => ({ from: '2026-11-16', to: '2026-11-22', differing: [], count: 0, differences: [] }),
  repairSalesDay: () => 0,
  pruneViews: () => ({ tables: [{ table: 'projection_inbox_orders', rows: 7 }], held: [], readingLog: [] }),
  pruneBus: () => ({ tables: [{ table: 'event_log_2026_07', rows: 12 }], held: [] }),
  pruneWebhooks: () => ({ tables: [], held: [] }),
} as const satisfies Required<Script>;

/** The step says no, on record and for good. */
export const refuses = (code: ErrorCode, detail?: unknown) => (): never => {
  throw new CheckoutError(code, `refused with ${code}`, detail);
};

/** The service cannot be reached, however often it is asked. */
export const isDown = (): never => {
  throw new Error('connect ECONNREFUSED 127.0.0.1:5432');
};

/** A step that waits inside its service until the test lets it go on. */
export class Gate {
  /** Resolves when the step has been reached. */
  readonly reached: Promise<void>;
  readonly #opened: Promise<void>;
  #reach: () => void = () => undefined;
  #open: () => void = () => undefined;

  constructor() {
    this.reached = new Promise((resolve) => (this.#reach = resolve));
    this.#opened = new Promise((resolve) => (this.#open = resolve));
  }

  open(): void {
    this.#open();
  }

  /** What the step does, but only when the gate is open. */
  before<T>(answer: () => T): () => Promise<T> {
    return async () => {
      this.#reach();
      await this.#opened;
      return answer();
    };
  }
}

/**
 * The services as fakes: each order has its own script, and its calls are recorded in the order in which they
 * arrive. Refusals cross the same border to Temporal as the real ones.
 */
export class FakeServices {
  readonly #scripts = new Map<string, Script>();
  readonly #calls = new Map<string, Call[]>();
  /** The order of an id that is not one: an event's, a refund's. */
  readonly #orderOf = new Map<string, string>();
  readonly inventory = withRefusals({
    reserveStock: this.#step('reserveStock'),
    commitStock: this.#step('commitStock'),
    releaseStock: this.#step('releaseStock'),
    restock: this.#step('restock'),
    readHeader: this.#step('readHeader'),
    findReservedOrders: this.#step('findReservedOrders'),
  });
  readonly orders = withRefusals({
    createOrder: this.#step('createOrder'),
    markOrderPaid: this.#step('markOrderPaid'),
    closeOrder: this.#step('closeOrder'),
    recordResolution: this.#step('recordResolution'),
    awaitPayment: this.#step('awaitPayment'),
    recordSettlement: this.#step('recordSettlement'),
    readRefundable: this.#step('readRefundable'),
    recordRefund: this.#step('recordRefund'),
    recordRefundFailure: this.#step('recordRefundFailure'),
    readOrderState: this.#step('readOrderState'),
    findUnfinishedAmong: this.#step('findUnfinishedAmong'),
    findPendingOrders: this.#step('findPendingOrders'),
  });
  readonly payments = withRefusals({
    capturePayment: this.#step('capturePayment'),
    checkPayment: this.#step('checkPayment'),
    abandonPayment: this.#step('abandonPayment'),
    settleWithGateway: this.#step('settleWithGateway'),
    applyWebhook: this.#step('applyWebhook'),
    readWebhook: this.#step('readWebhook'),
    closeWebhook: this.#step('closeWebhook'),
    beginRefund: this.#step('beginRefund'),
    refundAtGateway: this.#step('refundAtGateway'),
    finishRefund: this.#step('finishRefund'),
    findOpenPayments: this.#step('findOpenPayments'),
    findPendingRefunds: this.#step('findPendingRefunds'),
    findOpenWebhooks: this.#step('findOpenWebhooks'),
    findMovedPayments: this.#step('findMovedPayments'),
    findLedgerDifferences: this.#step('findLedgerDifferences'),
    pruneWebhooks: this.#step('pruneWebhooks'),
  });
  readonly views = {
    rebuildView: this.#step('rebuildView'),
    findSalesDifferences: this.#step('findSalesDifferences'),
    repairSalesDay: this.#step('repairSalesDay'),
    pruneViews: this.#step('pruneViews'),
    pruneBus: this.#step('pruneBus'),
  };

  /** @param about other ids by which steps of this order are known; SEARCH for those that look for leftovers */
  expect(orderId: string, script: Script, about: readonly string[] = []): void {
    this.#scripts.set(orderId, script);
    this.#calls.set(orderId, []);
    for (const id of about) this.#orderOf.set(id, orderId);
  }

  callsOf(orderId: string): readonly Call[] {
    return this.#calls.get(orderId) ?? [];
  }

  #step<K extends StepName>(step: K): (input: InputOf<K>) => Promise<AnswerOf<K>> {
    return async (input) => {
      const id = subjectOf(input);
      const orderId = this.#orderOf.get(id) ?? id;
      const calls = this.#calls.get(orderId);
      if (calls === undefined) throw new CheckoutError('NOT_FOUND', `no test expects ${step} of ${id}`);
      calls.push({ step, input });
      const behaviour = (this.#scripts.get(orderId)?.[step] ?? GOOD[step]) as Behaviour<K>;
      return behaviour(input, calls.filter((call) => call.step === step).length);
    };
  }
}

/** What steps that look for leftovers are about. */
export const SEARCH = 'search';
/** What steps of the daily sales are about. */
export const DAILY_SALES = 'daily sales';
/** What steps of the upkeep are about. */
export const UPKEEP = 'upkeep';

type Subject = 'orderId' | 'refundId' | 'eventId' | 'view';

function subjectOf(input: object): string {
  const { orderId, refundId, eventId, view } = input as Readonly<Partial<Record<Subject, string>>>;
  if ('dryRun' in input) return UPKEEP;
  return orderId ?? refundId ?? eventId ?? view ?? ('day' in input || 'days' in input ? DAILY_SALES : SEARCH);
}

function reservationOf({ lines, payment }: CheckoutInput): Reservation {
  const priced = lines.map((line): PricedLine => ({
    ...line,
    sku: `SKU-${line.productId}`,
    name: 'Mug',
    variantName: null,
    unitPrice: { minor: UNIT_MINOR, currency: 'KRW' },
    lineTotal: { minor: UNIT_MINOR * line.quantity, currency: 'KRW' },
  }));
  const total = { minor: priced.reduce((sum, { lineTotal }) => sum + lineTotal.minor, 0), currency: 'KRW' };
  return { lines: priced, total, paymentMethod: payment.method, placedAt: '2026-11-23T01:02:03.000Z' };
}
