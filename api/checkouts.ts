import { type Request, type Response, Router } from 'express';
import { z } from 'zod';

import { storedAnswer } from '../activities/inventory/stored-answer.ts';
import { type OrderView, readOrder } from '../activities/orders/read.ts';
import type { CheckoutInput, PlacedAnswer } from '../domain/checkout.ts';
import { CheckoutError, type Refusal } from '../domain/errors.ts';
import { orderIdFor } from '../events/ids.ts';
import type { Databases } from '../infra/databases.ts';
import { callerOf, only } from './auth.ts';
import { jsonBody } from './body.ts';
import type { ApiDeps } from './deps.ts';
import { endOfClosed, hasStarted, waitForEnd } from './follow.ts';
import { isOutage, READ_LIMIT_MS, within } from './outage.ts';
import { PLACED_DEADLINE_MS, placeSoon, type Placing, startOnly } from './place.ts';
import { presentOrder, presentPlaced, sendPending } from './present.ts';
import { notAllowed, sendRefusal } from './problem.ts';
import {
  databaseId,
  idempotencyKeyOf,
  locationCode,
  parsed,
  type Preference,
  preferenceApplied,
  preferenceOf,
  requestHashOf,
} from './requests.ts';

const ROUTE = '/v1/checkouts';
const MOST_LINES = 200;
const MOST_UNITS = 999;
const METHODS: readonly string[] = ['card'];

const checkoutBody = z.strictObject({
  items: z
    .array(
      z.strictObject({
        productId: databaseId,
        variantId: databaseId.nullable().default(null),
        quantity: z.int().min(1).max(MOST_UNITS),
        locationCode: locationCode.default('MAIN'),
      }),
    )
    .min(1)
    .max(MOST_LINES),
  payment: z.strictObject({
    method: z.literal('card'),
    token: z.string().regex(/^[\w.:-]{1,255}$/, 'must be the token that the payment provider gave'),
  }),
  expectedTotal: z
    .strictObject({ minor: z.int().min(0), currency: z.string().regex(/^[A-Z]{3}$/, 'must be an ISO 4217 code') })
    .nullable()
    .default(null),
});

/** 201 placed, 409 and 422 refused, 202 may have started. The same key joins the first request, it never buys twice. */
export function checkoutRoutes(deps: ApiDeps): Router {
  return Router()
    .post(ROUTE, only('customer'), ...jsonBody, async (req, res) => {
      const input = checkoutInputOf(req, res, deps);
      const preference = preferenceOf(req);
      const applied = preferenceApplied(preference);
      if (applied !== undefined) res.set('Preference-Applied', applied);

      const since = Date.now();
      const stored = await recordedOrStarted(deps, input);
      const answer = stored ?? (await newAnswer(deps, input, preference, since));
      if (answer === 'started') return sendPending(res, input.orderId, deps.links);
      if (answer.requestHash !== input.requestHash) {
        throw new CheckoutError('IDEMPOTENCY_KEY_REUSED', 'this key belongs to another request');
      }
      if (stored !== undefined) res.set('Idempotent-Replayed', 'true');
      if ('refusal' in answer) return sendRefusal(res, withProducts(answer.refusal, input), input.orderId);

      const status = stored === undefined ? 201 : 200;
      if (typeof preference === 'object') {
        return sendEnd(res, deps, input, { status, untilMs: since + preference.waitSeconds * 1_000 });
      }
      res.status(201).location(`/v1/orders/${input.orderId}`).json(presentPlaced(answer.order, deps.links));
    })
    .all(ROUTE, notAllowed('POST'));
}

/** What was answered before, if the order it speaks of was really made: an outage may have come between. */
function recordedAnswer({ databases }: ApiDeps, input: CheckoutInput): Promise<PlacedAnswer | undefined> {
  const read = async (): Promise<PlacedAnswer | undefined> => {
    const stored = await storedAnswer(databases.platform, input.orderId);
    if (stored === undefined || 'refusal' in stored || stored.requestHash !== input.requestHash) return stored;
    const order = await readOrder(databases.order, input);
    return order === undefined ? undefined : stored;
  };
  return within(READ_LIMIT_MS, read());
}

/** The same; where the record cannot be read, Temporal may still know that this request is not the first one. */
async function recordedOrStarted(deps: ApiDeps, input: CheckoutInput): Promise<PlacedAnswer | 'started' | undefined> {
  try {
    return await recordedAnswer(deps, input);
  } catch (error) {
    if (isOutage(error) && (await hasStarted(deps.temporal, input))) return 'started';
    throw error;
  }
}

async function newAnswer(
  deps: ApiDeps,
  input: CheckoutInput,
  preference: Preference,
  since: number,
): Promise<Exclude<Placing, 'closed'>> {
  const answer = await startAs(deps, input, preference, since);
  if (answer !== 'closed') return answer;
  // It ended between our look at the record and the start, or it left no answer on record.
  const { requestHash, orderId } = input;
  try {
    return (await recordedAnswer(deps, input)) ?? { requestHash, refusal: await endOfClosed(deps.temporal, orderId) };
  } catch (error) {
    if (isOutage(error)) return 'started'; // how it ended will be told later; "try again" would be a lie now
    throw error;
  }
}

function startAs({ temporal }: ApiDeps, input: CheckoutInput, preference: Preference, since: number): Promise<Placing> {
  if (preference === 'respond-async') return startOnly(temporal, input);
  const patienceMs = preference === 'placed' ? PLACED_DEADLINE_MS : preference.waitSeconds * 1_000;
  return placeSoon(temporal, input, Math.min(patienceMs, PLACED_DEADLINE_MS) - (Date.now() - since));
}

/** Answers with the order as it ended, 402 where payment was declined, or 202 when it is not over in time. */
async function sendEnd(
  res: Response,
  { temporal, databases, links }: ApiDeps,
  input: CheckoutInput,
  { status, untilMs }: Readonly<{ status: 200 | 201; untilMs: number }>,
): Promise<void> {
  await waitForEnd(temporal, input.orderId, untilMs - Date.now());
  const order = await orderIfReadable(databases.order, input);
  if (order === undefined || order.status === 'PENDING') return sendPending(res, input.orderId, links);
  if (order.failure?.code === 'PAYMENT_DECLINED') {
    return sendRefusal(res, { code: 'PAYMENT_DECLINED', message: order.failure.message }, input.orderId);
  }
  res.status(status).location(`/v1/orders/${input.orderId}`).json(presentOrder(order, links));
}

/** Undefined also while its database is away: the order is placed, and a 503 would say that it is not. */
async function orderIfReadable(orders: Databases['order'], input: CheckoutInput): Promise<OrderView | undefined> {
  try {
    return await within(READ_LIMIT_MS, readOrder(orders, input));
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
    orderId: orderIdFor(ROUTE, customerId, key),
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
