import { Router } from 'express';
import { z } from 'zod';

import { CheckoutError } from '../domain/errors.ts';
import { listLetters, redriveLetter } from '../events/bus/redrive.ts';
import { only } from './auth.ts';
import type { ApiDeps } from './deps.ts';
import { READ_LIMIT_MS, within } from './outage.ts';
import { notAllowed } from './problem.ts';
import { databaseId, parsed } from './requests.ts';

const ROUTE = '/v1/admin/dead-letters';
const LARGEST_PAGE = 100;
const LONGEST_GROUP = 100;

const listQuery = z.strictObject({
  group: z.string().min(1).max(LONGEST_GROUP).optional(),
  cursor: databaseId.optional(),
  limit: z.coerce.number().int().min(1).max(LARGEST_PAGE).default(20),
});

/** Events that a consumer could not handle, without their data, and the wish that it tries them again. */
export function deadLetterRoutes({ databases: { bus } }: ApiDeps): Router {
  return Router()
    .get(ROUTE, only('admin'), async (req, res) => {
      const { group, cursor, limit } = parsed(listQuery, req.query);
      const found = await within(READ_LIMIT_MS, listLetters({ bus }, { group, after: cursor, limit: limit + 1 }));
      const items = found.slice(0, limit);
      const next = found.length > limit ? (items.at(-1)?.id ?? null) : null;
      res.set('Cache-Control', 'no-store').json({ items, next });
    })
    .all(ROUTE, notAllowed('GET, HEAD'))
    .post(`${ROUTE}/:id/redrive`, only('admin'), async (req, res) => {
      const id = databaseId.safeParse(req.params['id']);
      if (!id.success) throw new CheckoutError('NOT_FOUND', 'there is no such dead letter');
      const redriven = await within(READ_LIMIT_MS, redriveLetter({ bus }, id.data));
      if (redriven.result === 'UNKNOWN') throw new CheckoutError('NOT_FOUND', 'there is no such dead letter');
      if (redriven.result === 'ALREADY_REDRIVEN') {
        throw new CheckoutError('ALREADY_REDRIVEN', `a consumer of ${redriven.group} has not come to it yet`);
      }
      const { group, subject, letters } = redriven;
      res.status(202).json({ id: id.data, group, subject, letters });
    })
    .all(`${ROUTE}/:id/redrive`, notAllowed('POST'));
}
