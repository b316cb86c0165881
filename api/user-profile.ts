import { CheckoutError } from '../domain/errors.ts';
import { inUsers } from '../projections/read-applied.ts';
import { readUser, type UserProfile } from '../projections/read-users.ts';
import { callerOf } from './auth.ts';
import { getOwnUser, type ProfileBody } from './contract/users.ts';
import type { ApiDeps } from './deps.ts';
import { READ_LIMIT_MS, within } from './outage.ts';
import { afterWrite } from './read-after.ts';
import { type Route, route } from './routes.ts';
import { viewLagMs } from './view-lag.ts';

/** What the shop knows about who asks, from the view. */
export function userProfileRoutes({ databases }: ApiDeps): readonly Route[] {
  return [
    route(
      getOwnUser,
      afterWrite((write) => inUsers(databases.views, write)),
      async (_req, res) => {
        const lag = await within(READ_LIMIT_MS, viewLagMs(databases.views, 'users'));
        const user = await within(READ_LIMIT_MS, readUser(databases, callerOf(res).id));
        if (user === undefined) throw new CheckoutError('NOT_FOUND', 'nothing is known about you yet');
        res.set('Cache-Control', 'private, no-cache').json({ ...present(user), viewLagMs: lag });
      },
    ),
  ];
}

const present = ({ lastOrderAt, totals, ...profile }: UserProfile): ProfileBody => ({
  ...profile,
  lastOrderAt: lastOrderAt?.toISOString() ?? null,
  totals: totals.map(({ currency, orders, spent }) => ({ orders, spent: { minor: spent, currency } })),
});
