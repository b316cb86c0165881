import { CheckoutError, type Refusal } from '../../domain/errors.ts';
import { type Charge, judgeCharge } from '../../domain/payment.ts';
import { paymentIdFor } from '../../events/ids.ts';
import type { SqlTransaction } from '../../infra/databases.ts';
import { GatewayRefusal } from '../../infra/payment-gateway/port.ts';
import { throwRefusal } from '../refusals.ts';
import type { CaptureInput, PaymentDeps, PaymentState } from './contract.ts';
import { decide, lockMark, type Mark } from './mark.ts';
import { appendPaymentEvent, findPayment, insertPayment, movePayment, storeProviderId } from './tables.ts';

/** Opens the payment, asks the gateway, records what it said; every step finds what an earlier attempt has done. */
export async function capture(deps: PaymentDeps, input: CaptureInput): Promise<PaymentState> {
  const { payment: payments } = deps;
  const paymentId = paymentIdFor(input.orderId);
  const opened = await payments.$transaction((tx) => open(tx, deps, input, paymentId));
  if (opened.decided) return answerOf(opened.mark, input.orderId);

  const prepared = opened.providerId ?? (await prepare(deps, input, paymentId));
  if (typeof prepared !== 'string') {
    return 'code' in prepared ? record(deps, input, paymentId, prepared) : answerOf(prepared, input.orderId);
  }
  // A charge that an earlier attempt may have asked for is looked up first: its key may have expired.
  const earlier = opened.providerId === null ? undefined : await deps.gateway.lookup(prepared, deps.signal());
  const outcome = earlier !== undefined && isFinal(earlier) ? earlier : await confirm(deps, input, prepared);
  return record(deps, input, paymentId, outcome);
}

type Opened = Readonly<{ decided: true; mark: Mark } | { decided: false; providerId: string | null }>;

async function open(
  tx: SqlTransaction,
  { gateway }: PaymentDeps,
  { orderId, customerId, amount, payment: choice }: CaptureInput,
  paymentId: string,
): Promise<Opened> {
  const mark = await lockMark(tx, orderId);
  if (mark.decision !== null) return { decided: true, mark };
  const { provider } = gateway;
  const isNew = await insertPayment(tx, { paymentId, orderId, customerId, provider, method: choice.method, amount });
  if (isNew) await appendPaymentEvent(tx, paymentId, 'PaymentPending');
  const payment = await findPayment(tx, paymentId);
  return { decided: false, providerId: payment?.providerId ?? null };
}

/**
 * The provider's id is committed, under the mark, before anything can be charged: an undo can always find it.
 *
 * @returns the id; or the gateway's "no"; or the mark when it was decided meanwhile: then nothing may be charged
 */
async function prepare(deps: PaymentDeps, input: CaptureInput, paymentId: string): Promise<string | Mark | Refusal> {
  const given = await orRefusal(deps.gateway.prepare({ ...input, method: input.payment.method }, deps.signal()));
  if (typeof given !== 'string') return given;
  return deps.payment.$transaction(async (tx) => {
    const mark = await lockMark(tx, input.orderId);
    return mark.decision === null ? storeProviderId(tx, paymentId, given) : mark;
  });
}

const confirm = (deps: PaymentDeps, input: CaptureInput, providerId: string): Promise<Charge | Refusal> =>
  orRefusal(deps.gateway.confirm(input.orderId, providerId, input.payment, deps.signal()));

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

/** Writes the outcome down, unless an undo has decided meanwhile: then the undo settles what was charged. */
async function record(
  { payment: payments }: PaymentDeps,
  { orderId, amount }: CaptureInput,
  paymentId: string,
  outcome: Charge | Refusal,
): Promise<PaymentState> {
  const judgement = 'code' in outcome ? outcome : judgeCharge(outcome, amount);
  if (judgement === undefined || judgement === 'AWAITING_CONFIRMATION')
    throw new Error(`the gateway has not decided the charge of order ${orderId} yet`);
  const captured = 'code' in outcome ? null : outcome.captured;

  const mark = await payments.$transaction(async (tx): Promise<Mark> => {
    const locked = await lockMark(tx, orderId);
    if (locked.decision !== null) return locked;
    const success = judgement === 'CAPTURED';
    const moved = await movePayment(tx, paymentId, {
      from: ['PENDING'],
      to: success ? 'CAPTURED' : 'FAILED',
      captured,
      ...(!success && { failureCode: judgement.code }),
      event: success ? 'PaymentCompleted' : 'PaymentFailed',
    });
    if (!moved) throw new Error(`the payment of order ${orderId} is not open although nothing was decided`);
    const decided: Mark = success ? { decision: 'CAPTURED', answer: null } : { decision: 'REFUSED', answer: judgement };
    await decide(tx, orderId, success ? 'CAPTURED' : 'REFUSED', decided.answer);
    return decided;
  });
  return answerOf(mark, orderId);
}

function answerOf({ decision, answer }: Mark, orderId: string): PaymentState {
  if (decision === 'CAPTURED') return { status: 'CAPTURED', paymentId: paymentIdFor(orderId) };
  if (answer !== null) throwRefusal(answer);
  throw abandoned(orderId);
}

const abandoned = (orderId: string) =>
  new CheckoutError('CHECKOUT_ABANDONED', `the payment of order ${orderId} was given up`);
