import type { Request, Response } from 'express';
import type { z } from 'zod';

import type { RefundProgress } from '../activities/payments/stored-refund.ts';
import { CheckoutError } from '../domain/errors.ts';
import type { Money } from '../domain/money.ts';
import type { RefundInput, RefundRequest } from '../domain/refund.ts';
import { refundIdFor } from '../events/ids.ts';
import { callerOf } from './auth.ts';
import { refundBody, refundOrder } from './contract/refunds.ts';
import type { ApiDeps } from './deps.ts';
import { findOrder, noSuchOrder, orderIdOf } from './order-for.ts';
import { sendRefusal } from './problem.ts';
import { refundAnswer, refundHasStarted } from './refund-answers.ts';
import { idempotencyKeyOf, parsed, requestHashOf } from './requests.ts';
import { type Route, route } from './routes.ts';

type RefundBody = z.output<typeof refundBody>;

/**
 * Gives money back, all that is left or a part of it. 202 when the refund is on record, or may be: `amount` is null where
 * it was not in time. The same key never refunds twice: it tells how far the refund is, and why it failed.
 */
export const refundRoutes = (deps: ApiDeps): readonly Route[] => [
  route(refundOrder, async (req, res) => {
    const orderId = orderIdOf(req.params['orderId']);
    const { refundId, ...request } = requestOf(req, res, orderId);
    const input = { refundId, orderId, request };
    await requireOrder(deps, input);

    const { answer, replayed } = await refundAnswer(deps, input);
    if (replayed) res.set('Idempotent-Replayed', 'true');
    if (answer === 'started') return sendAccepted(res, input, null, BEGUN);
    if ('refusal' in answer) return sendRefusal(res, answer.refusal, orderId);
    sendAccepted(res, input, answer.refund.amount, 'progress' in answer ? answer.progress : BEGUN);
  }),
];

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
