import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';

import { orderActivities } from '../../activities/orders/activities.ts';
import { orderMoneyActivities } from '../../activities/orders/money-activities.ts';
import { story } from '../../api/contract/story.ts';
import { checkoutInput, reservationOf } from '../support/shop.ts';
import { type OpenApi, openApi } from './open-api.ts';

type Shown = Readonly<{ version: number; history: readonly Readonly<{ actor: string; reason: string }>[] }>;

/** No checkout runs here: the order is made by the steps of the order service, and read over HTTP. */
describe('the history of an order', function () {
  this.timeout(60_000);
  let api: OpenApi;
  let orderId: string;
  before(async () => {
    api = await openApi('127.0.0.1:1');
    const input = checkoutInput('1', []);
    orderId = input.orderId;
    await orderActivities({ order: api.order }).createOrder({ ...input, reservation: reservationOf(2) });
  });
  after(() => api.close());

  const look = async (token: string, etag?: string) => {
    const test = api.http.get(`/v1/orders/${orderId}`).set('Authorization', `Bearer ${token}`);
    const res = await (etag === undefined ? test : test.set('If-None-Match', etag));
    return { status: res.status, etag: String(res.headers['etag']), order: res.body as Shown };
  };

  it('keeps the notes of operators from the customer, and a note changes the ETag of those who see it', async () => {
    const { customer, admin } = api.tokens;
    const before = { customer: await look(customer), admin: await look(admin) };
    const steps = ['releaseStock'];
    const note = { orderId, resolutionId: randomUUID(), steps, action: 'retry', reason: 'asked the bank', by: '7' };
    await orderActivities({ order: api.order }).recordResolution(note);

    const seen = await look(admin, before.admin.etag);
    assert.equal(seen.status, 200, 'the administrator was told that nothing has changed');
    assert.notEqual(seen.etag, before.admin.etag);
    assert.equal(seen.order.version, before.admin.order.version);
    assert.deepEqual(
      seen.order.history.map(({ actor }) => actor),
      ['checkout', 'operator:7'],
    );
    assert.deepEqual(await look(customer), before.customer);
    assert.doesNotMatch(JSON.stringify((await look(customer)).order), /operator|bank/);
    assert.equal((await look(customer, before.customer.etag)).status, 304);
  });

  it('is told as a story as well, of which only that is missing which cannot be asked', async () => {
    const res = await api.http.get(`/v1/orders/${orderId}/story`).set('Authorization', `Bearer ${api.tokens.customer}`);
    assert.equal(res.status, 200);
    const { entries, missing } = story.strict().parse(res.body);
    assert.deepEqual(missing, [{ source: 'workflows', reason: 'UNAVAILABLE' }]);
    assert.deepEqual(
      entries.map(({ kind }) => kind),
      ['order', 'event'],
    );
    assert.match(api.logged(), /a story was told without this source/);
  });

  it('tells a reader with an old ETag that it can be paid now, although its version is the same', async () => {
    const before = await look(api.tokens.customer);
    const instructions = { type: 'bank_transfer', bank: 'A Bank', account: '1-2-3', reference: 'R' } as const;
    const expiresAt = new Date(Date.now() + 60_000).toISOString();
    await orderMoneyActivities({ order: api.order }).awaitPayment({ orderId, instructions, expiresAt });
    const after = await look(api.tokens.customer, before.etag);
    assert.deepEqual([after.status, after.order.version], [200, before.order.version]);
    assert.match(JSON.stringify(after.order), /1-2-3/);
    assert.equal((await look(api.tokens.customer, after.etag)).status, 304);
  });
});
