import { isGrpcServiceError } from '@temporalio/client';
import { Router } from 'express';
import pLimit from 'p-limit';
import { z } from 'zod';

import { CheckoutError } from '../domain/errors.ts';
import { only } from './auth.ts';
import type { ApiDeps } from './deps.ts';
import { askParked, listParked } from './parked.ts';
import { linksOf, workflowLink } from './present.ts';
import { notAllowed } from './problem.ts';
import { parsed } from './requests.ts';

const ROUTE = '/v1/admin/attention';
const LARGEST_PAGE = 100;
/** For the list and for all its workflows together, milliseconds. */
const ANSWER_LIMIT_MS = 8_000;
const LIST_LIMIT_MS = 4_000;
/** Workflows that are asked at once: each takes a worker's time. */
const ASKED_AT_ONCE = 10;
const INVALID_ARGUMENT = 3;

const attentionQuery = z.strictObject({
  cursor: z
    .string()
    .max(2_000)
    .regex(/^[\w-]+$/, 'must be a `next` of an earlier answer')
    .optional(),
  limit: z.coerce.number().int().min(1).max(LARGEST_PAGE).default(20),
});

/** What waits for a person: checkouts, refunds, webhooks and repairs with a parked step, and what each is parked on. */
export function attentionRoutes({ temporal, links }: ApiDeps): Router {
  return Router()
    .get(ROUTE, only('admin'), async (req, res) => {
      const { cursor, limit } = parsed(attentionQuery, req.query);
      const until = Date.now() + ANSWER_LIMIT_MS;
      const token = cursor === undefined ? null : Buffer.from(cursor, 'base64url');
      const { items, next } = await pageOf(() =>
        listParked(temporal, { limit, token, deadline: Date.now() + LIST_LIMIT_MS }),
      );

      const atMost = pLimit(ASKED_AT_ONCE);
      const asked = await Promise.all(items.map((listed) => atMost(() => askParked(temporal, listed, until))));
      const shown = asked
        .filter((work) => work !== undefined)
        .map((work) => ({
          ...work,
          links: {
            ...(work.orderId !== null && { order: linksOf(work.orderId, links).self }),
            ...workflowLink(work.workflowId, links),
          },
        }));
      res.set('Cache-Control', 'no-store').json({ items: shown, next: next?.toString('base64url') ?? null });
    })
    .all(ROUTE, notAllowed('GET, HEAD'));
}

/** @throws CheckoutError INVALID_REQUEST for a cursor that Temporal did not give */
async function pageOf<T>(list: () => Promise<T>): Promise<T> {
  try {
    return await list();
  } catch (error) {
    if (!isGrpcServiceError(error) || Number(error.code) !== INVALID_ARGUMENT) throw error;
    const errors = [{ pointer: '/cursor', message: 'must be a `next` of an earlier answer' }];
    throw new CheckoutError('INVALID_REQUEST', 'the request has fields that cannot be used', { errors });
  }
}
