import type { Refusal } from '../../domain/errors.ts';
import type { Charge } from '../../domain/payment.ts';
import { paymentIdFor } from '../../events/ids.ts';
import type { SqlTransaction } from '../../infra/databases.ts';
import { GatewayRefusal } from '../../infra/payment-gateway/port.ts';
import type { CaptureInput, PaymentDeps, PaymentState } from './contract.ts';
import { learn, lockStanding, type Standing, stateOf } from './learn.ts';
import { providerIdOf } from './look.ts';
import {
  appendPaymentEvent,
  doubtEarlierAttempt,
  findPayment,
  insertPayment,
  type PaymentRow,
  storeProviderId,
} from './tables.ts';

/** Opens the payment, asks the gateway, records what it said; every step finds what an earlier attempt has done. */
export async function capture(deps: PaymentDeps, input: CaptureInput): Promise<PaymentState> {
  const { orderId } = input;
  const holdMs = holdOf(deps, input);
  const opened = await deps.payment.$transaction((tx) => open(tx, deps, input));
  const known = stateOf(orderId, opened);
  if (known !== undefined) return known;
  const { payment } = opened;
  if (payment === undefined) throw new Error(`the payment of order ${orderId} was not opened`);

  const outcome = typeof holdMs === 'number' ? await charge(deps, input, payment) : holdMs;
  const standing =
    'mark' in outcome
      ? outcome
      : await deps.payment.$transaction((tx) =>
          learn(tx, orderId, outcome, typeof holdMs === 'number' ? holdMs : null),
        );
  const state = stateOf(orderId, standing);
  if (state === undefined) throw new Error(`the gateway has not decided the charge of order ${orderId} yet`);
  return state;
}

/** A shopper may ask for a shorter hold, never for a longer one. Milliseconds. */
function holdOf({ holdMs }: PaymentDeps, { payment: choice }: CaptureInput): number | Refusal {
  if (choice.method === 'card' || choice.holdSeconds === undefined) return holdMs[choice.method];
  const { holdSeconds } = choice;
  if (!Number.isSafeInteger(holdSeconds) || holdSeconds < 1) {
    return { code: 'PAYMENT_METHOD_INVALID', message: 'holdSeconds must be a positive whole number' };
  }
  return Math.min(holdMs[choice.method], holdSeconds * 1_000);
}

async function open(
  tx: SqlTransaction,
  { gateway: { provider } }: PaymentDeps,
  { orderId, customerId, amount, payment: { method } }: CaptureInput,
): Promise<Standing> {
  const standing = await lockStanding(tx, orderId);
  const paymentId = paymentIdFor(orderId);
  if (standing.mark.decision !== null) return standing;
  if (standing.payment !== undefined) {
    await doubtEarlierAttempt(tx, paymentId);
    return standing;
  }
  await insertPayment(tx, { paymentId, orderId, customerId, provider, method, amount });
  await appendPaymentEvent(tx, paymentId, 'PaymentPending');
  return { mark: standing.mark, payment: await findPayment(tx, paymentId) };
}

/** @returns what the gateway said; or how the payment stands when it was decided meanwhile: then nothing is charged */
async function charge(
  deps: PaymentDeps,
  input: CaptureInput,
  payment: PaymentRow,
): Promise<Charge | Refusal | Standing> {
  const { gateway } = deps;
  const { orderId, payment: choice } = input;
  if (payment.providerId === null) {
    const prepared = await prepare(deps, input, payment);
    if (typeof prepared !== 'string') return prepared;
    return orRefusal(gateway.confirm(orderId, prepared, choice, deps.signal()));
  }
  // A charge that an earlier attempt may have asked for is looked up first: its key may have expired.
  const providerId = providerIdOf(deps, payment);
  const earlier = await gateway.lookup(providerId, deps.signal());
  if (earlier !== undefined && isFinal(earlier)) return earlier;
  return orRefusal(gateway.confirm(orderId, providerId, choice, deps.signal()));
}

/** The provider's id is committed, under the mark, before anything can be charged: an undo can always find it. */
async function prepare(
  deps: PaymentDeps,
  input: CaptureInput,
  { paymentId }: PaymentRow,
): Promise<string | Refusal | Standing> {
  const { orderId, amount } = input;
  const { method } = input.payment;
  const given = await orRefusal(deps.gateway.prepare({ orderId, amount, method }, deps.signal()));
  if (typeof given !== 'string') return given;
  return deps.payment.$transaction(async (tx) => {
    const standing = await lockStanding(tx, orderId);
    return standing.mark.decision === null ? storeProviderId(tx, paymentId, given) : standing;
  });
}

/** A final "no" of the gateway as a value; everything else leaves the outcome in doubt and is thrown on. */
async function orRefusal<T>(asked: Promise<T>): Promise<T | Refusal> {
  try {
    return await asked;
  } catch (error) {
    if (!(error instanceof GatewayRefusal)) throw error;
    return { code: 'PAYMENT_METHOD_INVALID', message: `the gateway refused: ${error.gatewayCode}` };
  }
}

const isFinal = ({ status }: Charge): boolean => status !== 'open' && status !== 'processing';
