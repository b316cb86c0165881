import type { SqlTransaction } from '../infra/databases.ts';
import { newPersonalKey, type PersonalKey } from '../infra/personal-seal.ts';

/** Keys of people by `users.id`. Nobody is in it who has none, or none any more. */
export type PersonalKeys = ReadonlyMap<string, PersonalKey>;

/**
 * Makes a key for each user who never had one, in the transaction that makes the user. Repeat-safe: whoever has a key keeps
 * it, and whoever was erased gets none.
 */
export async function makePersonalKeys(tx: SqlTransaction, userIds: readonly string[]): Promise<void> {
  const keys = userIds.map(() => Buffer.from(newPersonalKey()).toString('hex'));
  await tx.$executeRaw`
    insert into personal_keys (user_id, key)
    select id, decode(key, 'hex') from unnest(${userIds}::bigint[], ${keys}::text[]) as k (id, key)
    order by id
    on conflict do nothing`;
}

/**
 * The keys of these people, in one statement. Never keep them longer than one request takes: a copy in memory would outlive
 * the erasure.
 *
 * @param platform the platform's database, or a transaction of it
 */
export async function personalKeysOf(platform: SqlTransaction, userIds: readonly string[]): Promise<PersonalKeys> {
  if (userIds.length === 0) return new Map();
  const rows = await platform.$queryRaw<{ userId: string; key: Uint8Array }[]>`
    select user_id::text as "userId", key from personal_keys
    where user_id = any(${[...new Set(userIds)]}::bigint[]) and key is not null`;
  return new Map(rows.map(({ userId, key }) => [userId, key]));
}
