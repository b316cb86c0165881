import type { Databases, SqlTransaction } from '../../infra/databases.ts';
import { placeholdersOf } from '../../infra/personal-seal.ts';
import { appendUser, lockUser, updateUser } from './users.ts';

export type Erasure = Readonly<{
  userId: string;
  /** False when it was done before: then nothing was changed now. */
  fresh: boolean;
  erasedAt: Date;
}>;

/**
 * Forgets who a customer is, in one transaction: their key is gone, so whatever was sealed with it can nowhere be read
 * again; their row has placeholders; an event tells so. What they ordered and paid stays, under their number. Repeat-safe,
 * also at the same time: the second one waits for the first and changes nothing.
 *
 * @param correlationId a UUID that names what caused it
 * @throws CheckoutError NOT_FOUND
 */
export const eraseCustomer = (
  platform: Databases['platform'],
  { userId, correlationId }: Readonly<{ userId: string; correlationId: string }>,
): Promise<Erasure> =>
  platform.$transaction(async (tx) => {
    const { version } = await lockUser(tx, userId); // as every change of a user does first
    const erasedAt = await forgetKey(tx, userId);
    if (erasedAt === undefined) return { userId, fresh: false, erasedAt: await erasedSince(tx, userId) };
    const erased = { userId, ...placeholdersOf(userId), status: 'DELETED', version: version + 1 };
    await updateUser(tx, erased);
    await forgetRequest(tx, userId);
    await appendUser(tx, 'UserUpdated', erased, null, correlationId);
    return { userId, fresh: true, erasedAt };
  });

/** The row stays. Who never had a key gets none either. @returns undefined when it was forgotten before */
async function forgetKey(tx: SqlTransaction, userId: string): Promise<Date | undefined> {
  const [row] = await tx.$queryRaw<{ erasedAt: Date }[]>`
    insert into personal_keys as k (user_id, erased_at)
    values (${userId}::bigint, now())
    on conflict (user_id) do update set key = null, erased_at = excluded.erased_at where k.erased_at is null
    returning erased_at as "erasedAt"`;
  return row?.erasedAt;
}

async function erasedSince(tx: SqlTransaction, userId: string): Promise<Date> {
  const [row] = await tx.$queryRaw<{ erasedAt: Date | null }[]>`
    select erased_at as "erasedAt" from personal_keys where user_id = ${userId}::bigint`;
  if (!row?.erasedAt) throw new Error(`the key of user ${userId} is neither there nor forgotten`);
  return row.erasedAt;
}

/**
 * The request that made the user is known by a hash of what it said, so whoever guesses the name could see that they are
 * right. It is overwritten and not deleted: a copy of that request that comes late still makes nobody.
 */
const forgetRequest = (tx: SqlTransaction, userId: string) => tx.$executeRaw`
  update administration_requests
  set request_hash = repeat('0', 64)
  where aggregate_type = 'user' and aggregate_id = ${userId} and id = (
    -- What made a user is what caused their first event. Seeded ones were made by no request.
    select (envelope ->> 'correlationId')::uuid from outbox
    where (aggregate_type, aggregate_id, aggregate_version) = ('user', ${userId}, 1)
      and envelope ->> 'correlationId' ~ '^[0-9a-f-]{36}$'
  )`;
