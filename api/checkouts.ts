import { setTimeout as sleep } from 'node:timers/promises';

import type { Request, Response } from 'express';
import { z } from 'zod';

import type { OrderView } from '../activities/orders/read.ts';
import type { CheckoutInput } from '../domain/checkout.ts';
import { CheckoutError, type Refusal } from '../domain/errors.ts';
import { PAYMENT_METHODS } from '../domain/payment.ts';
import { orderIdFor } from '../events/ids.ts';
import { answerOf } from './answers.ts';
import { callerOf } from './auth.ts';
import { checkoutBody, placeCheckout } from './contract/checkouts.ts';
import type { ApiDeps } from './deps.ts';
import { waitForEnd } from './follow.ts';
import { findOrder } from './order-for.ts';
import { isOutage } from './outage.ts';
import { presentOrder, presentPlaced, sendPending } from './present.ts';
import { sendRefusal } from './problem.ts';
import { tellReadAfter } from './read-after.ts';
import { idempotencyKeyOf, parsed, preferenceApplied, preferenceOf, requestHashOf } from './requests.ts';
import { type Route, route } from './routes.ts';

const METHODS: readonly string[] = PAYMENT_METHODS;
/** Of an order that was made and has not changed. */
const PLACED_VERSION = 1;
/** How often somebody who waits is looked after: the order may wait for that very shopper. Milliseconds. */
const LOOK_EVERY_MS = 500;

/** 201 placed, 409 and 422 refused, 202 may have started. The same key joins the first request, it never buys twice. */
export const checkoutRoutes = (deps: ApiDeps): readonly Route[] => [
  route(placeCheckout, async (req, res) => {
    const input = checkoutInputOf(req, res, deps);
    const preference = preferenceOf(req);
    const applied = preferenceApplied(preference);
    if (applied !== undefined) res.set('Preference-Applied', applied);

    const since = Date.now();
    const { answer, replayed } = await answerOf(deps, input, preference, since);
    if (replayed) res.set('Idempotent-Replayed', 'true');
    if (answer === 'started') return sendPending(res, input.orderId, deps.links);
    if ('refusal' in answer) return sendRefusal(res, withProducts(answer.refusal, input), input.orderId);

    const status = replayed ? 200 : 201;
    if (typeof preference === 'object') {
      return sendEnd(res, deps, input, { status, untilMs: since + preference.waitSeconds * 1_000 });
    }
    tellReadAfter(res, { orderId: input.orderId, version: PLACED_VERSION });
    res.status(201).location(`/v1/orders/${input.orderId}`).json(presentPlaced(answer.order, deps.links));
  }),
];

/**
 * Answers with the order as it ended, or as it waits for the shopper, who must be told how to pay; 402 where payment was
 * declined, or 202 when it is not over in time.
 */
async function sendEnd(
  res: Response,
  deps: ApiDeps,
  input: CheckoutInput,
  { status, untilMs }: Readonly<{ status: 200 | 201; untilMs: number }>,
): Promise<void> {
  const { databases, links } = deps;
  const order = (await whileItMoves(deps, input, untilMs)) ?? (await orderIfReadable(databases, input));
  if (order === undefined || (order.status === 'PENDING' && !waitsForShopper(order)))
    return sendPending(res, input.orderId, links);
  if (order.failure?.code === 'PAYMENT_DECLINED') {
    return sendRefusal(res, { code: 'PAYMENT_DECLINED', message: order.failure.message }, input.orderId);
  }
  tellReadAfter(res, order);
  res.status(status).location(`/v1/orders/${input.orderId}`).json(presentOrder(order, links));
}

/** Waits until the checkout is over, or until its order waits for the shopper, which is what it returns then. */
async function whileItMoves(
  { temporal, databases }: ApiDeps,
  input: CheckoutInput,
  untilMs: number,
): Promise<OrderView | undefined> {
  const enough = new AbortController();
  const limits = { limitMs: untilMs - Date.now(), signal: enough.signal };
  const ended = waitForEnd(temporal, input.orderId, limits).then(() => 'ended' as const);
  try {
    for (;;) {
      if ((await Promise.race([ended, sleep(LOOK_EVERY_MS)])) === 'ended') return undefined;
      const order = await Promise.race([ended, orderIfReadable(databases, input)]);
      if (order === 'ended') return undefined;
      if (order !== undefined && waitsForShopper(order)) return order;
    }
  } finally {
    enough.abort();
  }
}

const waitsForShopper = ({ payment }: OrderView): boolean => payment.instructions !== null;

/** Undefined also while its database is away: the order is placed, and a 503 would say that it is not. */
async function orderIfReadable(databases: ApiDeps['databases'], input: CheckoutInput): Promise<OrderView | undefined> {
  try {
    return await findOrder(databases, input);
  } catch (error) {
    if (isOutage(error)) return undefined;
    throw error;
  }
}

function checkoutInputOf(req: Request, res: Response, { config }: ApiDeps): CheckoutInput {
  const key = idempotencyKeyOf(req);
  refuseOtherMethods(req.body);
  const body = parsed(checkoutBody, req.body);
  const customerId = callerOf(res).id;
  return {
    orderId: orderIdFor(placeCheckout.path, customerId, key),
    customerId,
    requestHash: requestHashOf(body),
    lines: body.items.map((item, index) => ({ lineNo: index + 1, ...item })),
    payment: body.payment,
    expectedTotal: body.expectedTotal,
    startDeadline: new Date(Date.now() + config.startDeadlineMs).toISOString(),
  };
}

/** An honest answer to a method that the contract names and this release does not offer. */
function refuseOtherMethods(body: unknown): void {
  const asked = z.object({ payment: z.object({ method: z.string() }) }).safeParse(body);
  if (!asked.success || METHODS.includes(asked.data.payment.method)) return;
  const message = `this payment method is not offered; there is: ${METHODS.join(', ')}`;
  throw new CheckoutError('PAYMENT_METHOD_INVALID', message, { methods: METHODS });
}

/** A refusal names lines by number; whoever reads it wants the product too. */
function withProducts(refusal: Refusal, { lines }: CheckoutInput): Refusal {
  if (!Array.isArray(refusal.detail)) return refusal;
  const productOf = new Map(lines.map(({ lineNo, productId }) => [lineNo, productId]));
  const detail = (refusal.detail as Readonly<{ lineNo: number }>[]).map(({ lineNo, ...rest }) => ({
    lineNo,
    productId: productOf.get(lineNo),
    ...rest,
  }));
  return { ...refusal, detail };
}
