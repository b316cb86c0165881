import type { WorkflowHandle } from '@temporalio/client';
import proto from '@temporalio/proto';

import { place, PLACED_DEADLINE_MS } from '../../api/place.ts';
import type { CartLine, CheckoutInput } from '../../domain/checkout.ts';
import type { ErrorCode } from '../../domain/errors.ts';
import { checkoutWorkflowId } from '../../domain/workflow-ids.ts';
import { orderIdFor } from '../../events/ids.ts';
import type { TemporalClient } from '../../infra/temporal.ts';
import { products, stock } from '../../prisma/seed/catalogue.ts';
import type { checkout } from '../../workflows/checkout.ts';
import { cancelUpdate, resolveUpdate, statusQuery } from '../../workflows/contract.ts';
import { eventually } from '../support/eventually.ts';
import { sha256 } from '../support/shop.ts';

export type Checkout = WorkflowHandle<typeof checkout>;
type RealCase = Readonly<{
  lines: () => CartLine[];
  token: string;
  ends: ErrorCode | 'COMPLETED';
  /** What somebody does while it runs. */
  meanwhile?: (handle: Checkout) => Promise<unknown>;
}>;

const START_DEADLINE_MS = 120_000;
const COASTERS: CartLine = { lineNo: 1, productId: '102', variantId: null, quantity: 2, locationCode: 'MAIN' };

/** Checkouts through the real steps, their databases and the simulated gateway. */
export const REAL_CASES = {
  paid: { lines: () => [COASTERS], token: 'tok_ok', ends: 'COMPLETED' },
  'card-declined': { lines: () => [COASTERS], token: 'tok_declined', ends: 'PAYMENT_DECLINED' },
  'out-of-stock': { lines: () => [COASTERS, soldOut()], token: 'tok_ok', ends: 'OUT_OF_STOCK' },
  cancelled: { lines: () => [COASTERS], token: 'tok_slow', ends: 'CHECKOUT_CANCELLED', meanwhile: cancelWhilePaying },
  'parked-mark-done': {
    lines: () => [COASTERS],
    token: 'tok_wrong_amount',
    ends: 'PAYMENT_AMOUNT_MISMATCH',
    meanwhile: markDone,
  },
} as const satisfies Readonly<Record<string, RealCase>>;
export type RealCaseName = keyof typeof REAL_CASES;

/** Places the order of a case as the API does, and what happens meanwhile. @returns the checkout, which ends by itself */
export async function playReal(name: RealCaseName, temporal: TemporalClient): Promise<Checkout> {
  const { lines, token, meanwhile }: RealCase = REAL_CASES[name];
  const orderId = orderIdFor('/v1/checkouts', '1', `history of ${name}`);
  const input: CheckoutInput = {
    orderId,
    customerId: '1',
    requestHash: sha256(name),
    lines: lines(),
    payment: { method: 'card', token },
    expectedTotal: null,
    startDeadline: new Date(Date.now() + START_DEADLINE_MS).toISOString(),
  };
  await place(temporal, input, PLACED_DEADLINE_MS);
  const handle: Checkout = temporal.client.workflow.getHandle<typeof checkout>(checkoutWorkflowId(orderId));
  await meanwhile?.(handle);
  return handle;
}

/** The charge must be on its way: a step that no worker has taken yet is cancelled without a trace of it. */
async function cancelWhilePaying(handle: Checkout): Promise<void> {
  const { PENDING_ACTIVITY_STATE_STARTED: started } = proto.temporal.api.enums.v1.PendingActivityState;
  await eventually('the charge is on its way', async () => {
    const { raw } = await handle.describe();
    return raw.pendingActivities?.find(
      ({ activityType, state }) => activityType?.name === 'capturePayment' && state === started,
    );
  });
  await handle.executeUpdate(cancelUpdate);
}

async function markDone(handle: Checkout): Promise<void> {
  await eventually('settleWithGateway is parked', async () => {
    const { parked } = await handle.query(statusQuery);
    return parked.find(({ step }) => step === 'settleWithGateway');
  });
  const decision = { action: 'markDone', reason: 'charge and refund net to zero', by: 'operator-7' } as const;
  await handle.executeUpdate(resolveUpdate, { args: [decision] });
}

/** A line that asks for one more than the seed has. */
function soldOut(): CartLine {
  const onSale = products().filter(({ status, currency }) => status === 'ACTIVE' && currency === 'KRW');
  const scarce = stock(onSale).find(({ available, variantId }) => variantId === null && available < 100);
  if (scarce === undefined) throw new Error('everything in the seed is plentiful');
  const { productId, available, locationCode } = scarce;
  return { lineNo: 2, productId: String(productId), variantId: null, quantity: available + 1, locationCode };
}
