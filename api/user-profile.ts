import { Router } from 'express';

import { CheckoutError } from '../domain/errors.ts';
import { inUsers } from '../projections/read-applied.ts';
import { readUser, type UserProfile } from '../projections/read-users.ts';
import { callerOf, only } from './auth.ts';
import type { ApiDeps } from './deps.ts';
import { READ_LIMIT_MS, within } from './outage.ts';
import { notAllowed } from './problem.ts';
import { afterWrite } from './read-after.ts';
import { viewLagMs } from './view-lag.ts';

/** What the shop knows about who asks, from the view. */
export function userProfileRoutes({ databases: { views } }: ApiDeps): Router {
  return Router()
    .get(
      '/v1/users/me',
      only('customer', 'admin'),
      afterWrite((write) => inUsers(views, write)),
      async (_req, res) => {
        const lag = await within(READ_LIMIT_MS, viewLagMs(views, 'users'));
        const user = await within(READ_LIMIT_MS, readUser(views, callerOf(res).id));
        if (user === undefined) throw new CheckoutError('NOT_FOUND', 'nothing is known about you yet');
        res.set('Cache-Control', 'private, no-cache').json({ ...present(user), viewLagMs: lag });
      },
    )
    .all('/v1/users/me', notAllowed('GET, HEAD'));
}

const present = ({ lastOrderAt, totals, ...profile }: UserProfile): object => ({
  ...profile,
  lastOrderAt: lastOrderAt?.toISOString() ?? null,
  totals: totals.map(({ currency, orders, spent }) => ({ orders, spent: { minor: spent, currency } })),
});
