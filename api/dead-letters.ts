import { type Response, Router } from 'express';
import { z } from 'zod';

import { CheckoutError } from '../domain/errors.ts';
import { type Discarded, discardLetter, LONGEST_DISCARD_REASON } from '../events/bus/discard.ts';
import { listLetters, redriveLetter, type Redriven } from '../events/bus/redrive.ts';
import { callerOf, only } from './auth.ts';
import { jsonBody } from './body.ts';
import { databaseId, plainText } from './contract/fields.ts';
import type { ApiDeps } from './deps.ts';
import { READ_LIMIT_MS, within } from './outage.ts';
import { notAllowed } from './problem.ts';
import { parsed } from './requests.ts';

const ROUTE = '/v1/admin/dead-letters';
const LARGEST_PAGE = 100;
const LONGEST_GROUP = 100;

const listQuery = z.strictObject({
  group: plainText(LONGEST_GROUP).optional(),
  cursor: databaseId.optional(),
  limit: z.coerce.number().int().min(1).max(LARGEST_PAGE).default(20),
  /** Those that were given up, instead of those that wait for somebody. */
  discarded: z.enum(['true', 'false']).default('false'),
});

const discardBody = z.strictObject({ reason: plainText(LONGEST_DISCARD_REASON) });

/**
 * Events that a consumer could not handle, without their data; the wish that it tries them again; the decision to give one
 * up.
 */
export function deadLetterRoutes({ databases: { bus } }: ApiDeps): Router {
  return Router()
    .get(ROUTE, only('admin'), async (req, res) => {
      const { group, cursor, limit, discarded } = parsed(listQuery, req.query);
      const query = { group, after: cursor, limit: limit + 1, discarded: discarded === 'true' };
      const found = await within(READ_LIMIT_MS, listLetters({ bus }, query));
      const items = found.slice(0, limit);
      const next = found.length > limit ? (items.at(-1)?.id ?? null) : null;
      res.set('Cache-Control', 'no-store').json({ items, next });
    })
    .all(ROUTE, notAllowed('GET, HEAD'))
    .post(`${ROUTE}/:id/redrive`, only('admin'), async (req, res) => {
      const id = letterIdOf(req.params['id']);
      const redriven = await within(READ_LIMIT_MS, redriveLetter({ bus }, id));
      if (redriven.result !== 'REDRIVEN') throw refusal(redriven);
      const { group, subject, letters } = redriven;
      res.status(202).json({ id, group, subject, letters });
    })
    .all(`${ROUTE}/:id/redrive`, notAllowed('POST'))
    .post(`${ROUTE}/:id/discard`, only('admin'), ...jsonBody, async (req, res: Response) => {
      const id = letterIdOf(req.params['id']);
      const { reason } = parsed(discardBody, req.body);
      const discarded = await within(READ_LIMIT_MS, discardLetter({ bus }, id, { by: callerOf(res).id, reason }));
      if (discarded.result !== 'DISCARDED') throw refusal(discarded);
      const { group, subject, redriven } = discarded;
      res.json({ id, group, subject, redriven });
    })
    .all(`${ROUTE}/:id/discard`, notAllowed('POST'));
}

function letterIdOf(param: unknown): string {
  const id = databaseId.safeParse(param);
  if (!id.success) throw new CheckoutError('NOT_FOUND', NO_LETTER);
  return id.data;
}

function refusal(refused: Exclude<Redriven | Discarded, { result: 'REDRIVEN' | 'DISCARDED' }>): CheckoutError {
  switch (refused.result) {
    case 'UNKNOWN':
      return new CheckoutError('NOT_FOUND', NO_LETTER);
    case 'ALREADY_REDRIVEN':
      return new CheckoutError('ALREADY_REDRIVEN', `a consumer of ${refused.group} has not come to it yet`);
    case 'ALREADY_DISCARDED':
      return new CheckoutError('ALREADY_DISCARDED', 'the event was given up, for good');
    case 'NOT_TRIED':
      return new CheckoutError(
        'NOT_TRIED',
        `it waits behind another letter of ${refused.subject}, and was never tried`,
      );
  }
}

const NO_LETTER = 'there is no such dead letter';
