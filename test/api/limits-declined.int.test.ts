import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';

import { query } from '../support/databases.ts';
import { cart, type OpenApi, openApi } from './open-api.ts';

const LIMIT = 3;
const TRANSFER = { payment: { method: 'bank_transfer' } };

describe('customers whose cards are declined again and again', function () {
  this.timeout(60_000);
  let api: OpenApi;
  before(async () => {
    api = await openApi('127.0.0.1:1', { settings: { declinedCardsPerHour: LIMIT } });
  });
  after(() => api.close());

  const buy = (token: string, more: object = {}) =>
    api.http
      .post('/v1/checkouts')
      .set({ Authorization: `Bearer ${token}`, 'Idempotency-Key': randomUUID() })
      .send(cart(more));
  /** Orders as a saga leaves them, made so many minutes ago. */
  const failed = (userId: string, code: string, ...minutesAgo: readonly number[]) =>
    query(
      api.adminUrl('order'),
      `insert into orders (id, order_number, user_id, status, currency, subtotal_amount, total_amount, payment_method,
         request_hash, failure_code, placed_at, created_at, closed_at)
       select gen_random_uuid(), left(gen_random_uuid()::text, 30), $1, 'FAILED', 'KRW', 1, 1, 'card',
         repeat('0', 64), $2, t, t, now()
       from (select now() - m * interval '1 minute' as t from unnest($3::integer[]) as m) as times`,
      [userId, code, minutesAgo],
    );

  // Temporal is away here: what is let through is answered 503, because nothing was started.
  it('are asked to wait for as long as it takes, and nobody else is', async () => {
    await failed('1', 'PAYMENT_DECLINED', 10, 20, 61, 62);
    await failed('1', 'HOLD_EXPIRED', 1, 2, 3);
    assert.equal((await buy(api.tokens.customer)).status, 503, 'declined longer than an hour ago, or not declined');

    await failed('1', 'PAYMENT_DECLINED', 50);
    const refused = await buy(api.tokens.customer);
    assert.deepEqual([refused.status, (refused.body as { code: string }).code], [429, 'TOO_MANY_REQUESTS']);
    const wait = Number(refused.headers['retry-after']);
    assert.ok(wait > 0 && wait <= 600, `until the one of 50 minutes ago is an hour old: ${wait} s`);
    assert.equal((await buy(api.tokens.otherCustomer)).status, 503);
    assert.equal((await buy(api.tokens.customer, TRANSFER)).status, 503, 'no card is tried with a transfer');
  });
});
