import { randomUUID } from 'node:crypto';

import type { Databases, SqlTransaction } from '../infra/databases.ts';
import { type Answer, GatewayError, type Outcome } from './answers.ts';
import type { Route } from './requests.ts';

export type KeyedRequest = Readonly<{
  route: Extract<Route, 'prepare' | 'confirm' | 'refund'>;
  key: string;
  requestHash: string;
}>;

/** The right to decide one key's request. An effect that lost it meanwhile is rolled back. */
export type Claim = KeyedRequest & Readonly<{ claim: string }>;

/** How long a claim outlives its holder when the process died and no other has started, milliseconds. */
const CLAIM_MS = 60_000;

/**
 * Runs the work of a key once. A repeat gets the stored answer; a repeat while the first is at work is refused; work
 * that stored no answer leaves no key behind, so that a repeat runs anew.
 *
 * @param ttlMs how long the answer is kept, milliseconds
 * @throws GatewayError key_in_use, idempotency_key_reused, or what the work threw
 */
export async function once(
  db: Databases['gateway'],
  request: KeyedRequest,
  ttlMs: number,
  work: (claim: Claim) => Promise<Outcome>,
): Promise<Outcome> {
  const claim = { ...request, claim: randomUUID() };
  if (!(await takeClaim(db, claim, ttlMs))) return { connection: 'answer', answer: await storedAnswer(db, request) };
  try {
    return await work(claim);
  } finally {
    await db.$executeRaw`
      delete from idempotency_keys
      where route = ${claim.route} and key = ${claim.key} and claim = ${claim.claim}::uuid and answer is null`;
  }
}

/**
 * Stores the answer in the transaction of its effect.
 *
 * @throws GatewayError key_in_use when the claim was lost, which rolls the effect back
 */
export async function storeAnswer(tx: SqlTransaction, claim: Claim, answer: Answer): Promise<Outcome> {
  const stored = await tx.$executeRaw`
    update idempotency_keys set answer_status = ${answer.status}, answer = ${JSON.stringify(answer.body)}::jsonb
    where route = ${claim.route} and key = ${claim.key} and claim = ${claim.claim}::uuid and answer is null`;
  if (stored !== 1) throw inUse();
  return { connection: 'answer', answer };
}

/** For the start of the only process on this database: whoever held a claim is dead. Also drops expired keys. */
export async function releaseClaims(db: SqlTransaction): Promise<void> {
  await db.$executeRaw`delete from idempotency_keys where answer is null or expires_at <= now()`;
}

/** Forgets settled keys as if they had expired, of one order (keys that start with its id) or of all. */
export async function forgetKeys(db: SqlTransaction, orderId: string | undefined): Promise<number> {
  const prefix = orderId === undefined ? '' : `${orderId}:`;
  return db.$executeRaw`delete from idempotency_keys where answer is not null and starts_with(key, ${prefix})`;
}

/** One statement, so that of two repeats at once exactly one gets the claim. */
async function takeClaim(db: SqlTransaction, claim: Claim, ttlMs: number): Promise<boolean> {
  const taken = await db.$executeRaw`
    insert into idempotency_keys as k (route, key, request_hash, claim, claimed_until, expires_at)
    values (
      ${claim.route}, ${claim.key}, ${claim.requestHash}, ${claim.claim}::uuid,
      now() + ${CLAIM_MS} * interval '1 millisecond', now() + ${ttlMs} * interval '1 millisecond')
    on conflict (route, key) do update
    set request_hash = excluded.request_hash, claim = excluded.claim, claimed_until = excluded.claimed_until,
      answer_status = null, answer = null, created_at = now(), expires_at = excluded.expires_at
    where (k.answer is not null and k.expires_at <= now())
      or (k.answer is null and k.claimed_until <= now() and k.request_hash = excluded.request_hash)`;
  return taken === 1;
}

async function storedAnswer(db: Databases['gateway'], { route, key, requestHash }: KeyedRequest): Promise<Answer> {
  const row = await db.idempotencyKey.findUnique({ where: { route_key: { route, key } } });
  if (row !== null && row.requestHash !== requestHash) {
    throw new GatewayError('idempotency_key_reused', 'this key belongs to another request');
  }
  // No row: the holder has just given up without an answer.
  if (row === null || row.answerStatus === null) throw inUse();
  return { status: row.answerStatus, body: row.answer };
}

const inUse = () => new GatewayError('key_in_use', 'a request with this key is being worked on');
