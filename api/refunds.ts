import { type Request, type Response, Router } from 'express';
import { z } from 'zod';

import type { RefundProgress } from '../activities/payments/stored-refund.ts';
import { CheckoutError } from '../domain/errors.ts';
import type { Money } from '../domain/money.ts';
import type { RefundInput, RefundRequest } from '../domain/refund.ts';
import { refundIdFor } from '../events/ids.ts';
import { callerOf, only } from './auth.ts';
import { jsonBody } from './body.ts';
import { plainText } from './contract/fields.ts';
import type { ApiDeps } from './deps.ts';
import { findOrder, noSuchOrder, orderIdOf } from './order-for.ts';
import { notAllowed, sendRefusal } from './problem.ts';
import { refundAnswer, refundHasStarted } from './refund-answers.ts';
import { idempotencyKeyOf, parsed, requestHashOf } from './requests.ts';

const ROUTE = '/v1/orders/:orderId/refunds';
const MOST_LINES = 200;
/** Equal lines of a cart become one, so that a line may have more units than a cart's line. */
const MOST_UNITS = 999 * MOST_LINES;
const LONGEST_REASON = 100;

const refundBody = z.strictObject({
  amount: z
    .strictObject({ minor: z.int().min(1), currency: z.string().regex(/^[A-Z]{3}$/, 'must be an ISO 4217 code') })
    .nullable()
    .default(null),
  lines: z
    .array(
      z.strictObject({
        lineNo: z.int().min(1).max(MOST_LINES),
        quantity: z.int().min(1).max(MOST_UNITS),
        restock: z.boolean().default(false),
      }),
    )
    .max(MOST_LINES)
    .refine((lines) => new Set(lines.map(({ lineNo }) => lineNo)).size === lines.length, 'must name each line once')
    .default([]),
  reason: plainText(LONGEST_REASON),
});

type RefundBody = z.output<typeof refundBody>;

/**
 * Gives money back, all that is left or a part of it. 202 when the refund is on record, or may be: `amount` is null where
 * it was not in time. The same key never refunds twice: it tells how far the refund is, and why it failed.
 */
export function refundRoutes(deps: ApiDeps): Router {
  return Router()
    .post(ROUTE, only('admin'), ...jsonBody, async (req, res) => {
      const orderId = orderIdOf(req.params['orderId']);
      const { refundId, ...request } = requestOf(req, res, orderId);
      const input = { refundId, orderId, request };
      await requireOrder(deps, input);

      const { answer, replayed } = await refundAnswer(deps, input);
      if (replayed) res.set('Idempotent-Replayed', 'true');
      if (answer === 'started') return sendAccepted(res, input, null, BEGUN);
      if ('refusal' in answer) return sendRefusal(res, answer.refusal, orderId);
      sendAccepted(res, input, answer.refund.amount, 'progress' in answer ? answer.progress : BEGUN);
    })
    .all(ROUTE, notAllowed('POST'));
}

function requestOf(req: Request, res: Response, orderId: string): RefundRequest & Readonly<{ refundId: string }> {
  const key = idempotencyKeyOf(req);
  const body: RefundBody = parsed(refundBody, req.body);
  const by = callerOf(res).id;
  return { refundId: refundIdFor(orderId, by, key), ...body, by, requestHash: requestHashOf(body) };
}

/** @throws CheckoutError NOT_FOUND before anything starts; an outage is none for a refund that has started */
async function requireOrder(deps: ApiDeps, input: RefundInput & Readonly<{ request: RefundRequest }>): Promise<void> {
  try {
    const order = await findOrder(deps.databases, { orderId: input.orderId, customerId: null });
    if (order === undefined) throw noSuchOrder();
  } catch (error) {
    if (error instanceof CheckoutError || !(await refundHasStarted(deps.temporal, input))) throw error;
  }
}

const BEGUN: RefundProgress = { status: 'PENDING', failureCode: null };

function sendAccepted(
  res: Response,
  { refundId, orderId }: RefundInput,
  amount: Money | null,
  { status, failureCode }: RefundProgress,
): void {
  res.status(202).location(`/v1/orders/${orderId}`).json({ refundId, status, failureCode, amount });
}
