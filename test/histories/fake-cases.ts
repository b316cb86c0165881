import { randomUUID } from 'node:crypto';

import type { CheckoutInput } from '../../domain/checkout.ts';
import type { RefundRequest } from '../../domain/refund.ts';
import { refundWorkflowId, repairWorkflowId, webhookWorkflowId } from '../../domain/workflow-ids.ts';
import {
  DAILY_SALES_WORKFLOW,
  MAINTENANCE_WORKFLOW,
  REBUILD_WORKFLOW,
  RECONCILE_WORKFLOW,
  REFUND_WORKFLOW,
  REPAIR_WORKFLOW,
  WEBHOOK_WORKFLOW,
} from '../../workflows/contract.ts';
import type { dailySales } from '../../workflows/daily-sales.ts';
import type { maintenance } from '../../workflows/maintenance.ts';
import type { rebuildView } from '../../workflows/rebuild-view.ts';
import type { reconcile } from '../../workflows/reconcile.ts';
import type { refund } from '../../workflows/refund.ts';
import type { repair } from '../../workflows/repair.ts';
import type { webhook } from '../../workflows/webhook.ts';
import type { Run } from '../support/bench-run.ts';
import {
  DAILY_SALES,
  Gate,
  isDown,
  PAYMENT_ID,
  refuses,
  type Script,
  SEARCH,
  UPKEEP,
} from '../support/fake-services.ts';
import { waitsFor } from '../support/waiting-payment.ts';
import { REQUEST_HASH, type WorkflowBench } from '../support/workflow-bench.ts';
import type { Played } from './real-cases.ts';

type FakeCase = Readonly<{
  /** Code of the result, or its status where it has none. */
  ends: string;
  /** Starts it, and does what somebody does meanwhile. @returns the workflow, which ends by itself */
  play: (bench: WorkflowBench) => Promise<Played>;
}>;

const ALREADY_CAPTURED = { outcome: 'ALREADY_CAPTURED', paymentId: PAYMENT_ID } as const;
const REFUNDED = {
  outcome: 'REFUNDED',
  paymentId: PAYMENT_ID,
  amount: { minor: 4_500, currency: 'KRW' },
} as const;
const TRANSFER = { payment: { method: 'bank_transfer' } } as const;
const SHORT_HOLD_MS = 1_000;
const LOOK_AGAIN_MS = 600;

/**
 * Workflows that are real, on a real Temporal, and whose services are fakes: real ones would have to be down for minutes
 * at the right moment, to refuse what they never refuse, or to lose a race of microseconds. A history has commands and
 * answers, and these are the same.
 */
export const FAKE_CASES = {
  /** Takes the two minutes that a step before the pivot is tried for. */
  'outage-undone': { ends: 'CHECKOUT_FAILED', play: checkout({ createOrder: isDown }) },
  /** The same two minutes, but the money was taken although nobody answered: the saga goes forward. */
  'captured-after-all': {
    ends: 'COMPLETED',
    play: checkout({ capturePayment: isDown, abandonPayment: () => ALREADY_CAPTURED }),
  },
  'parked-retried': {
    ends: 'COMPLETED',
    play: checkout(
      { commitStock: (_input, call) => (call === 1 ? refuses('CHECKOUT_ABANDONED')() : undefined) },
      {},
      async (run) => {
        await run.statusWhen(({ parked }) => parked.some(({ step }) => step === 'commitStock'));
        await run.resolve('retry');
      },
    ),
  },
  /** The charge succeeds although it is cancelled, and the payment service of an older release does not know why. */
  'cancelled-captured': { ends: 'CHECKOUT_CANCELLED', play: cancelCaptured },
  /** The money comes between the last look and the decision of the row. */
  'expired-but-captured': {
    ends: 'COMPLETED',
    play: checkout(
      {
        capturePayment: () => waitsFor(SHORT_HOLD_MS),
        checkPayment: () => waitsFor(SHORT_HOLD_MS),
        abandonPayment: () => ALREADY_CAPTURED,
      },
      TRANSFER,
    ),
  },
  /** A charge that nobody answered for is looked at twice before nothing is believed. */
  'second-look': {
    ends: 'PAYMENT_METHOD_INVALID',
    play: checkout({
      capturePayment: refuses('PAYMENT_METHOD_INVALID'),
      settleWithGateway: (_input, call) =>
        call === 1 ? { outcome: 'LOOK_AGAIN', afterMs: LOOK_AGAIN_MS } : { outcome: 'NOTHING_CHARGED' },
    }),
  },
  'late-capture-settled': { ends: 'LATE_CAPTURE', play: lateCapture },
  'refund-returned': { ends: 'SUCCEEDED', play: refundOf({}) },
  'refund-refused': {
    ends: 'REFUND_EXCEEDS_CAPTURE',
    play: refundOf({ beginRefund: refuses('REFUND_EXCEEDS_CAPTURE') }),
  },
  /** The gateway refuses it for good. */
  'refund-failed': {
    ends: 'refund_refused',
    play: refundOf({ refundAtGateway: () => ({ status: 'FAILED', failureCode: 'refund_refused' }) }),
  },
  'repair-completed': { ends: 'COMPLETED', play: repairOf({ abandonPayment: () => ALREADY_CAPTURED }) },
  'repair-undone': { ends: 'CHECKOUT_FAILED', play: repairOf({ settleWithGateway: () => REFUNDED }) },
  reconciled: { ends: 'REPAIRED', play: reconcileOne },
  'view-rebuilt': { ends: 'SWAPPED', play: rebuild },
  maintained: { ends: '19 gone', play: maintain },
  'daily-sales-repaired': { ends: '2 repaired', play: repairDailySales },
} as const satisfies Readonly<Record<string, FakeCase>>;
export type FakeCaseName = keyof typeof FAKE_CASES;

function checkout(
  script: Script,
  cart: Partial<CheckoutInput> = {},
  meanwhile: (run: Run) => Promise<void> = async () => {},
): FakeCase['play'] {
  return async (bench) => {
    const run = await bench.start(script, cart);
    await meanwhile(run);
    return run.handle;
  };
}

async function cancelCaptured(bench: WorkflowBench): Promise<Played> {
  const gate = new Gate();
  const run = await bench.start({
    capturePayment: gate.before(() => ({ status: 'CAPTURED', paymentId: PAYMENT_ID })),
    abandonPayment: () => ALREADY_CAPTURED,
    settleWithGateway: () => REFUNDED,
  });
  await gate.reached;
  await run.cancel();
  gate.open();
  return run.handle;
}

async function lateCapture(bench: WorkflowBench): Promise<Played> {
  const [orderId, eventId] = [randomUUID(), `evt_${randomUUID()}`];
  const event = { provider: 'simulated', eventId };
  const script: Script = {
    applyWebhook: () => ({ outcome: 'LATE_CAPTURE', orderId }),
    settleWithGateway: () => REFUNDED,
  };
  const id = webhookWorkflowId(event.provider, eventId);
  const about = { orderId, about: [eventId], script };
  return (await bench.startWork<typeof webhook>(WEBHOOK_WORKFLOW, id, [event], about)).handle;
}

/** One line comes back and is put on sale again, another one is thrown away. */
function refundOf(script: Script): FakeCase['play'] {
  return async (bench) => {
    const [orderId, refundId] = [randomUUID(), randomUUID()];
    const lines = [
      { lineNo: 1, quantity: 2, restock: true },
      { lineNo: 2, quantity: 1, restock: false },
    ];
    const asked = { amount: null, lines, reason: 'damaged' };
    const request: RefundRequest = { ...asked, by: 'operator-7', requestHash: REQUEST_HASH };
    const id = refundWorkflowId(refundId);
    const about = { orderId, about: [refundId], script };
    return (await bench.startWork<typeof refund>(REFUND_WORKFLOW, id, [{ refundId, orderId, request }], about)).handle;
  };
}

function repairOf(script: Script): FakeCase['play'] {
  return async (bench) => {
    const orderId = randomUUID();
    const about = { orderId, script };
    const id = repairWorkflowId(orderId);
    return (await bench.startWork<typeof repair>(REPAIR_WORKFLOW, id, [{ orderId }], about)).handle;
  };
}

/** An order whose stock nobody gives back, and nothing else. */
async function reconcileOne(bench: WorkflowBench): Promise<Played> {
  const orderId = randomUUID();
  const script: Script = { findReservedOrders: () => ({ items: [{ orderId }], next: null }) };
  const about = { orderId: SEARCH, about: [orderId], script };
  const id = `reconcile-${randomUUID()}`;
  return (await bench.startWork<typeof reconcile>(RECONCILE_WORKFLOW, id, [{ apply: true }], about)).handle;
}

async function rebuild(bench: WorkflowBench): Promise<Played> {
  const view = 'products';
  const about = { about: [view] };
  const id = `rebuild-${randomUUID()}`;
  return (await bench.startWork<typeof rebuildView>(REBUILD_WORKFLOW, id, [{ view }], about)).handle;
}

async function maintain(bench: WorkflowBench): Promise<Played> {
  const id = `maintenance-${randomUUID()}`;
  const about = { about: [UPKEEP] };
  return (await bench.startWork<typeof maintenance>(MAINTENANCE_WORKFLOW, id, [{ dryRun: false }], about)).handle;
}

/** Sums of two days are wrong. */
async function repairDailySales(bench: WorkflowBench): Promise<Played> {
  const wrong = { currency: 'KRW', column: 'gross', was: '1', is: '10000' };
  const differing = ['2026-11-20', '2026-11-22'];
  const differences = differing.map((day) => ({ day, ...wrong }));
  const script: Script = {
    findSalesDifferences: () => ({ from: '2026-11-16', to: '2026-11-22', differing, count: 2, differences }),
    repairSalesDay: () => 1,
  };
  const about = { about: [DAILY_SALES], script };
  const id = `daily-sales-${randomUUID()}`;
  return (await bench.startWork<typeof dailySales>(DAILY_SALES_WORKFLOW, id, [{ days: 7 }], about)).handle;
}
