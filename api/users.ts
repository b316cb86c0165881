import { randomUUID } from 'node:crypto';

import { type Response, Router } from 'express';
import { z } from 'zod';

import { type User, userAdministration } from '../activities/inventory/users.ts';
import { CheckoutError } from '../domain/errors.ts';
import { requestIdFor } from '../events/ids.ts';
import { callerOf, only } from './auth.ts';
import { jsonBody } from './body.ts';
import { databaseId, plainText } from './contract/fields.ts';
import type { ApiDeps } from './deps.ts';
import { READ_LIMIT_MS, within } from './outage.ts';
import { notAllowed } from './problem.ts';
import { expectedVersionsOf, idempotencyKeyOf, parsed, requestHashOf } from './requests.ts';

const ROUTE = '/v1/users';
const LONGEST_EMAIL = 255;

const fields = {
  username: plainText(50),
  /** In small letters, so that nobody has two accounts with one address. */
  email: z.string().trim().toLowerCase().pipe(z.email().max(LONGEST_EMAIL)),
  fullName: plainText(100),
  status: z.enum(['ACTIVE', 'INACTIVE', 'DELETED']),
};
const newUser = z.strictObject({ ...fields, status: fields.status.default('ACTIVE') });
const userChanges = z
  .strictObject(fields)
  .partial()
  .refine((changes) => Object.keys(changes).length > 0, 'must change something');

/** Users, by administrators. A repeated POST gets the first answer again; a PATCH that changes nothing does nothing. */
export function userRoutes({ databases: { platform } }: ApiDeps): Router {
  const users = userAdministration({ platform });
  return Router()
    .post(ROUTE, only('admin'), ...jsonBody, async (req, res) => {
      const id = requestIdFor(ROUTE, callerOf(res).id, idempotencyKeyOf(req));
      const body = parsed(newUser, req.body);
      const work = users.create({ id, requestHash: requestHashOf(body) }, body);
      const { replayed, ...user } = await within(READ_LIMIT_MS, work);
      if (replayed) res.set('Idempotent-Replayed', 'true');
      send(res.status(201).location(`${ROUTE}/${user.userId}`), user);
    })
    .all(ROUTE, notAllowed('POST'))
    .patch(`${ROUTE}/:userId`, only('admin'), ...jsonBody, async (req, res) => {
      const userId = databaseId.safeParse(req.params['userId']);
      if (!userId.success) throw new CheckoutError('NOT_FOUND', 'there is no such user');
      const expected = expectedVersionsOf(req);
      const changes = parsed(userChanges, req.body);
      const work = users.change({ userId: userId.data, changes, expected, correlationId: randomUUID() });
      send(res, await within(READ_LIMIT_MS, work));
    })
    .all(`${ROUTE}/:userId`, notAllowed('PATCH'));
}

/** The version is the ETag, for `If-Match`. */
const send = (res: Response, { version, ...user }: User): void => {
  res.set('ETag', `"${version}"`).json({ ...user, version });
};
