import type { InventoryActivities } from '../../activities/inventory/activities.ts';
import type { OrderActivities } from '../../activities/orders/activities.ts';
import type { PaymentActivities } from '../../activities/payments/activities.ts';
import { withRefusals } from '../../activities/refusals.ts';
import { type CheckoutInput, placedOrder, type PricedLine, type Reservation } from '../../domain/checkout.ts';
import { CheckoutError, type ErrorCode } from '../../domain/errors.ts';

type Steps = InventoryActivities & OrderActivities & PaymentActivities;
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
 * The three services as fakes: each order has its own script, and its calls are recorded in the order in which they
 * arrive. Refusals cross the same border to Temporal as the real ones.
 */
export class FakeServices {
  readonly #scripts = new Map<string, Script>();
  readonly #calls = new Map<string, Call[]>();
  readonly inventory = withRefusals({
    reserveStock: this.#step('reserveStock'),
    commitStock: this.#step('commitStock'),
    releaseStock: this.#step('releaseStock'),
  });
  readonly orders = withRefusals({
    createOrder: this.#step('createOrder'),
    markOrderPaid: this.#step('markOrderPaid'),
    closeOrder: this.#step('closeOrder'),
    recordResolution: this.#step('recordResolution'),
  });
  readonly payments = withRefusals({
    capturePayment: this.#step('capturePayment'),
    abandonPayment: this.#step('abandonPayment'),
    settleWithGateway: this.#step('settleWithGateway'),
  });

  expect(orderId: string, script: Script): void {
    this.#scripts.set(orderId, script);
    this.#calls.set(orderId, []);
  }

  callsOf(orderId: string): readonly Call[] {
    return this.#calls.get(orderId) ?? [];
  }

  #step<K extends StepName>(step: K): (input: InputOf<K>) => Promise<AnswerOf<K>> {
    return async (input) => {
      const { orderId } = input;
      const calls = this.#calls.get(orderId);
      if (calls === undefined) throw new CheckoutError('NOT_FOUND', `no test expects order ${orderId}`);
      calls.push({ step, input });
      const behaviour = (this.#scripts.get(orderId)?.[step] ?? GOOD[step]) as Behaviour<K>;
      return behaviour(input, calls.filter((call) => call.step === step).length);
    };
  }
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
