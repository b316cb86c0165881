import { randomUUID } from 'node:crypto';

import type { Response } from 'express';

import { type User, userAdministration } from '../activities/inventory/users.ts';
import { CheckoutError } from '../domain/errors.ts';
import { requestIdFor } from '../events/ids.ts';
import { callerOf } from './auth.ts';
import { databaseId } from './contract/fields.ts';
import { changeUser, createUser, newUserBody, userChangeBody } from './contract/users.ts';
import type { ApiDeps } from './deps.ts';
import { READ_LIMIT_MS, within } from './outage.ts';
import { expectedVersionsOf, idempotencyKeyOf, parsed, requestHashOf } from './requests.ts';
import { type Route, route } from './routes.ts';

const ROUTE = createUser.path;

/** Users, by administrators. A repeated POST gets the first answer again; a PATCH that changes nothing does nothing. */
export function userRoutes({ databases: { platform } }: ApiDeps): readonly Route[] {
  const users = userAdministration({ platform });
  return [
    route(createUser, async (req, res) => {
      const id = requestIdFor(ROUTE, callerOf(res).id, idempotencyKeyOf(req));
      const body = parsed(newUserBody, req.body);
      const work = users.create({ id, requestHash: requestHashOf(body) }, body);
      const { replayed, ...user } = await within(READ_LIMIT_MS, work);
      if (replayed) res.set('Idempotent-Replayed', 'true');
      send(res.status(201).location(`${ROUTE}/${user.userId}`), user);
    }),
    route(changeUser, async (req, res) => {
      const userId = databaseId.safeParse(req.params['userId']);
      if (!userId.success) throw new CheckoutError('NOT_FOUND', 'there is no such user');
      const expected = expectedVersionsOf(req);
      const changes = parsed(userChangeBody, req.body);
      const work = users.change({ userId: userId.data, changes, expected, correlationId: randomUUID() });
      send(res, await within(READ_LIMIT_MS, work));
    }),
  ];
}

/** The version is the ETag, for `If-Match`. */
const send = (res: Response, { version, ...user }: User): void => {
  res.set('ETag', `"${version}"`).json({ ...user, version });
};
