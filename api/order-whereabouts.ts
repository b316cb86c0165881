import { type StoredAnswer, storedAnswer } from '../activities/inventory/stored-answer.ts';
import type { OrderView } from '../activities/orders/read.ts';
import type { Refusal } from '../domain/errors.ts';
import type { ApiDeps } from './deps.ts';
import { ABANDONED, isUnderWay } from './follow.ts';
import { findOrder, type OrderKey } from './order-for.ts';
import { READ_LIMIT_MS, within } from './outage.ts';

/** What has become of a checkout: its order, its refusal, or neither yet. */
export type Whereabouts = Readonly<{ order: OrderView } | { refusal: Refusal } | { underWay: true }>;

type Deps = Pick<ApiDeps, 'databases' | 'temporal'>;

/**
 * What there is to see of an order for its reader. Undefined where there is nothing, or it is somebody else's.
 *
 * @throws Unavailable when a database, or Temporal where it is asked, does not answer
 */
export async function whereaboutsOf(deps: Deps, key: OrderKey): Promise<Whereabouts | undefined> {
  const order = await findOrder(deps.databases, key);
  return order === undefined ? withoutOrder(deps, key) : { order };
}

/** The same, after there was no order a moment ago. Temporal is asked only where no database knows. */
export async function withoutOrder(deps: Deps, key: OrderKey): Promise<Whereabouts | undefined> {
  const before = await storedFor(deps, key);
  if (before !== undefined && 'underWay' in before) return before;
  if (before === undefined || 'order' in before) {
    if (await isUnderWay(deps.temporal, key)) return { underWay: true };
  }
  const late = await findOrder(deps.databases, key); // made while we were looking elsewhere
  if (late !== undefined) return { order: late };
  const stored = await storedFor(deps, key);
  if (stored === undefined || 'underWay' in stored) return stored;
  return { refusal: 'refusal' in stored ? stored.refusal : ABANDONED };
}

/** What is on record of a checkout that has no order; undefined for strangers, and where nothing is on record. */
export async function storedFor(
  { databases: { platform } }: Pick<ApiDeps, 'databases'>,
  key: OrderKey,
): Promise<StoredAnswer | undefined> {
  const stored = await within(READ_LIMIT_MS, storedAnswer(platform, key.orderId));
  return key.customerId === null || key.customerId === stored?.customerId ? stored : undefined;
}
