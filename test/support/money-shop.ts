import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { promisify } from 'node:util';

import type { PaymentChoice } from '../../domain/checkout.ts';
import type { Money } from '../../domain/money.ts';
import { checkoutWorkflowId, refundWorkflowId } from '../../domain/workflow-ids.ts';
import { orderIdFor } from '../../events/ids.ts';
import { audit, type Audited } from '../../infra/audit/audit.ts';
import { temporalWorkflows } from '../../infra/audit/workflows.ts';
import { simulatedLedger } from '../../infra/payment-gateway/simulated-ledger.ts';
import { WITHOUT_RELAYS } from './commands.ts';
import { eventually } from './eventually.ts';
import { factsOf } from './saga-facts.ts';
import { startSystem, type SystemOptions, type TestSystem } from './system.ts';

const command = promisify(execFile);

/** `users.id` of the customer whose token the client uses by itself. */
const CUSTOMER = '1';

/** An item of the seed, and what one piece of it costs, in won. */
export const MUG = { productId: '101', variantId: '1011', quantity: 1 };

/** Short limits, so that a test of a time-out is short; many orders of one customer. */
export const SHORT_LIMITS = {
  GATEWAY_TIMEOUT_MS: '1000',
  GATEWAY_MAX_PROCESSING_MS: '2000',
  MAX_OPEN_CHECKOUTS: '1000',
  RATE_LIMIT_PER_MINUTE: '100000',
} as const;

const LEDGER_LIMIT_MS = 20_000;
const RECHECK_AFTER_MS = 1_000;
/** The longest that any of these workflows may need once nothing holds it up. */
const END_LIMIT_MS = 100_000;

export const CARD: PaymentChoice = { method: 'card', token: 'tok_ok' };
export const BANK: PaymentChoice = { method: 'bank_transfer' };

/** How a paid order, and one that did not come to be, stand in all books. */
export const SOLD = { stock: 'COMMITTED', order: 'PAID', payment: 'CAPTURED', charges: 1, kept: 'all' } as const;
export const UNSOLD = { stock: 'RELEASED', kept: 'nothing' } as const;

export type MoneyShop = Awaited<ReturnType<typeof openMoneyShop>>;

/** The whole system with workers, and what a test of money asks of shoppers, banks, gateway and books. */
export async function openMoneyShop(env: Record<string, string> = {}, options: Pick<SystemOptions, 'webhooks'> = {}) {
  const system = await startSystem({ env: { ...SHORT_LIMITS, ...env }, ...options });
  const shop = {
    ...moneyOf(system),
    system,
    workers: await system.startWorkers(),
  };
  return shop;
}

/** The same for a system whose workers the test starts by itself. */
export function moneyOf(system: TestSystem) {
  const charges = new Map<string, string>();
  const chargeOf = async (orderId: string): Promise<string> => {
    const known = charges.get(orderId);
    if (known !== undefined) return known;
    const id = await eventually(`the gateway has a charge of order ${orderId}`, async () => {
      const [row] = await system.query<{ id: string }>('gateway', 'select id from charges where order_id = $1', [
        orderId,
      ]);
      return row?.id;
    });
    charges.set(orderId, id);
    return id;
  };
  /** What a shopper or a bank does outside of our shop. @returns the HTTP status: a charge that is over refuses it */
  const outside = async (orderId: string, action: string, body: unknown): Promise<number> => {
    const answer = await fetch(`${system.gatewayUrl}/charges/${await chargeOf(orderId)}/${action}`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify(body),
    });
    await answer.arrayBuffer();
    return answer.status;
  };
  return {
    chargeOf,
    /** Places an order, which is answered before it is paid; on a slow machine even before it is there. @returns its id */
    async place(
      payment: PaymentChoice = CARD,
      more: Readonly<{ key?: string; bearer?: string }> = {},
    ): Promise<string> {
      const { status, body } = await system.shop.place({ items: [MUG], payment, ...more });
      assert.ok(status === 201 || status === 202, JSON.stringify(body));
      return String(body['orderId']);
    },
    /** The key and the id of an order that the first customer has still to place: scripts come before it. */
    nextOrder(): Readonly<{ key: string; orderId: string }> {
      const key = randomUUID();
      return { key, orderId: orderIdFor('/v1/checkouts', CUSTOMER, key) };
    },
    /** Scripts the gateway for one order. */
    fault: (orderId: string, script: Readonly<Record<string, unknown>>) => system.fault({ ...script, orderId }),
    transfer: (orderId: string, amount?: Money) => outside(orderId, 'transfer', amount === undefined ? {} : { amount }),
    authorize: (orderId: string, outcome: 'approve' | 'decline') => outside(orderId, 'authorize', { outcome }),
    expire: (orderId: string) => outside(orderId, 'expire', {}),
    /** Runs its checkout again from its first task: nothing of it is remembered. */
    async reset(orderId: string): Promise<void> {
      await command(system.cliPath, [
        ...['workflow', 'reset', '--workflow-id', checkoutWorkflowId(orderId), '--type', 'FirstWorkflowTask'],
        ...['--reason', 'a rehearsal', '--address', system.temporalAddress],
      ]);
    },
    /** The result of its checkout, within a bounded time. */
    ended: (orderId: string): Promise<EndOfWorkflow> =>
      within(
        `checkout of order ${orderId} ends`,
        system.temporal.workflow.getHandle(checkoutWorkflowId(orderId)).result(),
      ),
    /** The same of a refund. */
    refundEnded: (refundId: string): Promise<EndOfWorkflow> =>
      within(`refund ${refundId} ends`, system.temporal.workflow.getHandle(refundWorkflowId(refundId)).result()),
    /** Waits for a state of the order as its shopper sees it. */
    async untilOrder(orderId: string, status: string): Promise<void> {
      await eventually(`order ${orderId} is ${status}`, async () => {
        const [row] = await system.query<{ status: string }>('order', 'select status from orders where id = $1', [
          orderId,
        ]);
        return row?.status === status ? true : undefined;
      });
    },
    /** Waits until the checkout shows this status to operators. */
    async untilCheckout(orderId: string, status: string): Promise<void> {
      await eventually(`checkout ${orderId} is ${status}`, async () => {
        const handle = system.temporal.workflow.getHandle(checkoutWorkflowId(orderId));
        const answer = await handle.query<{ status: string }>('status');
        return answer.status === status ? true : undefined;
      });
    },
    outcomeOf: (orderId: string) => outcomeOf(system, orderId),
    /** The audit as `npm run audit` makes it. */
    audit: (): Promise<Audited> =>
      audit(
        {
          urls: {
            platform: system.env['PLATFORM_DATABASE_URL'] ?? '',
            order: system.env['ORDER_DATABASE_URL'] ?? '',
            payment: system.env['PAYMENT_DATABASE_URL'] ?? '',
          },
          ledger: simulatedLedger({ url: system.gatewayUrl, timeoutMs: LEDGER_LIMIT_MS }),
          workflows: temporalWorkflows(system.temporal, system.temporalAddress),
        },
        { recheckAfterMs: RECHECK_AFTER_MS, only: WITHOUT_RELAYS },
      ),
    /** Waits until no workflow may excuse anything any more, and demands that nothing is wrong then. */
    async booksAgree(): Promise<void> {
      const audited = await eventually('nothing is in progress', async () => {
        const now = await this.audit();
        return now.inProgress.length === 0 ? now : undefined;
      });
      const { findings, unknown } = audited;
      assert.deepEqual({ findings, unknown }, { findings: [], unknown: [] });
    },
  };
}

export type EndOfWorkflow = Readonly<{ status: string; code?: string }>;

/** How an order stands in all books: one object that tests compare. Undefined where a service never heard of it. */
export async function outcomeOf(system: TestSystem, orderId: string) {
  const { header, order, payment, gateway } = await factsOf(system, orderId);
  const captures = gateway.filter(({ kind }) => kind === 'CAPTURE');
  const taken = captures.reduce((sum, { amount }) => sum + amount, 0);
  const kept = gateway.reduce((sum, { kind, amount }) => sum + (kind === 'CAPTURE' ? amount : -amount), 0);
  return {
    ...{ stock: header, order: order?.status, payment: payment?.status, charges: captures.length },
    kept: kept === 0 ? 'nothing' : kept === taken ? 'all' : `${kept} of ${taken}`,
  };
}

async function within<T>(what: string, promise: Promise<T>): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`after ${END_LIMIT_MS} ms still not: ${what}`)), END_LIMIT_MS);
  });
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}
