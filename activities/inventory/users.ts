import { CheckoutError } from '../../domain/errors.ts';
import type { EventData } from '../../events/catalogue.ts';
import { appendToOutbox, shopEvent } from '../../events/outbox.ts';
import { opened, sealed } from '../../events/personal-fields.ts';
import { makePersonalKeys, personalKeysOf } from '../../events/personal-keys.ts';
import type { ReadEvent } from '../../events/read-event.ts';
import type { Databases, SqlTransaction } from '../../infra/databases.ts';
import { isPlaceholder, type PersonalKey } from '../../infra/personal-seal.ts';
import { expectRow, safeNumber } from '../../infra/rows.ts';
import {
  type AdministrationRequest,
  type ExpectedVersions,
  expectVersion,
  madeBy,
  refusingTaken,
  rememberRequest,
} from './administration-requests.ts';

export type UserFields = Readonly<{
  username: string;
  email: string;
  fullName: string;
  status: 'ACTIVE' | 'INACTIVE' | 'DELETED';
}>;
export type User = Readonly<{ userId: string; version: number }> & Omit<UserFields, 'status'> & { status: string };

export type UserChange = Readonly<{
  userId: string;
  changes: Partial<UserFields>;
  expected: ExpectedVersions;
  /** A UUID that names what caused the change. */
  correlationId: string;
}>;

/** What makes and changes users: row and event in one transaction. The API calls it. */
export function userAdministration({ platform }: Pick<Databases, 'platform'>) {
  return {
    /**
     * Makes a user; the same request gets the user as it was made again.
     *
     * @throws CheckoutError USERNAME_TAKEN, EMAIL_TAKEN, IDEMPOTENCY_KEY_REUSED
     */
    create: (request: AdministrationRequest, fields: UserFields): Promise<User & { replayed: boolean }> =>
      refusingTaken(
        TAKEN,
        platform.$transaction(async (tx) => {
          const made = await madeBy(tx, request);
          if (made !== undefined) return { ...(await asMade(tx, made)), replayed: true };
          mustBeFree(fields);
          const user = await insertUser(tx, fields);
          const event = await appendUser(tx, 'UserCreated', user, await keyOf(tx, user.userId), request.id);
          await rememberRequest(tx, request, event);
          return { ...user, replayed: false };
        }),
      ),

    /**
     * Changes some fields. What is so already makes no event and no new version, so that a repeat does nothing. Whoever was
     * erased is nobody who could be changed: no request that comes late may fill in who it was.
     *
     * @throws CheckoutError NOT_FOUND, VERSION_MISMATCH, USERNAME_TAKEN, EMAIL_TAKEN
     */
    change: ({ userId, changes, expected, correlationId }: UserChange): Promise<User> =>
      refusingTaken(
        TAKEN,
        platform.$transaction(async (tx) => {
          const user = await lockUser(tx, userId);
          const key = await keyOf(tx, userId);
          if (key === null) throw new CheckoutError('NOT_FOUND', 'this user was erased');
          expectVersion(user.version, expected);
          const changed = { ...user, ...changes };
          if (FIELDS.every((name) => changed[name] === user[name])) return user;
          mustBeFree(changes);
          const next = { ...changed, version: user.version + 1 };
          await updateUser(tx, next);
          await appendUser(tx, 'UserUpdated', next, key, correlationId);
          return next;
        }),
      ),
  };
}

const FIELDS = ['username', 'email', 'fullName', 'status'] as const;
const TAKEN = { users_username_key: 'USERNAME_TAKEN', users_email_key: 'EMAIL_TAKEN' } as const;

/** @throws CheckoutError USERNAME_TAKEN, EMAIL_TAKEN for what is kept for people who were erased */
function mustBeFree({ username, email }: Partial<UserFields>): void {
  const taken = (what: string) => `this ${what} is kept for users who were erased`;
  if (username !== undefined && isPlaceholder('username', username)) {
    throw new CheckoutError('USERNAME_TAKEN', taken('username'));
  }
  if (email !== undefined && isPlaceholder('email', email)) throw new CheckoutError('EMAIL_TAKEN', taken('address'));
}

/** Of a user whose row the caller holds; made when there never was one. Null after the erasure. */
async function keyOf(tx: SqlTransaction, userId: string): Promise<PersonalKey | null> {
  await makePersonalKeys(tx, [userId]);
  return (await personalKeysOf(tx, [userId])).get(userId) ?? null;
}

/**
 * Tells in the caller's transaction how a user is now.
 *
 * @param key null after the erasure
 */
export async function appendUser(
  tx: SqlTransaction,
  type: 'UserCreated' | 'UserUpdated',
  { version, ...user }: User,
  key: PersonalKey | null,
  correlationId: string,
) {
  const event = shopEvent(type, user.userId, version, correlationId, sealed(key, dataOf(user)));
  await appendToOutbox(tx, [event]);
  return event;
}

const dataOf = ({ userId, username, email, fullName, status }: Omit<User, 'version'>): EventData<'UserCreated'> => ({
  ...{ userId, username, email, fullName, status },
});

async function asMade(tx: SqlTransaction, event: ReadEvent): Promise<User> {
  if (event.type !== 'UserCreated') throw new Error(`a request for a user has made ${event.type}`);
  const keys = await personalKeysOf(tx, [event.data.userId]);
  return { ...opened(keys.get(event.data.userId), event.data), version: event.aggregateVersion };
}

type UserRow = Omit<User, 'version'> & Readonly<{ version: bigint }>;
const userOf = ({ version, ...row }: UserRow): User => ({ ...row, version: safeNumber(version) });

async function insertUser(tx: SqlTransaction, { username, email, fullName, status }: UserFields): Promise<User> {
  const rows = await tx.$queryRaw<UserRow[]>`
    insert into users (username, email, full_name, status)
    values (${username}, ${email}, ${fullName}, ${status})
    returning id::text as "userId", username, email, full_name as "fullName", status, version`;
  return userOf(expectRow(rows));
}

/** Until the transaction ends. @throws CheckoutError NOT_FOUND */
export async function lockUser(tx: SqlTransaction, userId: string): Promise<User> {
  const [row] = await tx.$queryRaw<UserRow[]>`
    select id::text as "userId", username, email, full_name as "fullName", status, version
    from users where id = ${userId}::bigint for update`;
  if (row === undefined) throw new CheckoutError('NOT_FOUND', 'there is no such user');
  return userOf(row);
}

export const updateUser = (tx: SqlTransaction, user: User) => tx.$executeRaw`
  update users
  set username = ${user.username}, email = ${user.email}, full_name = ${user.fullName}, status = ${user.status},
    updated_at = now(), version = ${user.version}
  where id = ${user.userId}::bigint`;
