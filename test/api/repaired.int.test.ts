import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';

import { inventoryActivities } from '../../activities/inventory/activities.ts';
import { requestHashOf } from '../../api/requests.ts';
import { checkoutWorkflowId } from '../../domain/workflow-ids.ts';
import { orderIdFor } from '../../events/ids.ts';
import { GENEROUS, HOLD_MS } from '../support/inventory.ts';
import { temporalServer } from '../support/servers.ts';
import { cart, COASTER, type OpenApi, openApi } from './open-api.ts';

type Body = Readonly<Record<string, unknown>>;

/** Its workflow was terminated after stock had been set aside, and no worker and no reconciler runs here. */
describe('a checkout that was ended from outside', function () {
  this.timeout(60_000);
  let api: OpenApi;
  let key: string;
  let orderId: string;
  before(async () => {
    api = await openApi((await temporalServer()).address);
  });
  after(() => api.close());

  const inventory = () => inventoryActivities({ platform: api.platform, limits: GENEROUS, holdMs: HOLD_MS });
  const items = [{ ...COASTER, variantId: null, locationCode: 'MAIN' }];
  const payment = { method: 'card', token: 'tok_ok' } as const;
  const requestHash = requestHashOf({ items, payment, expectedTotal: null });
  beforeEach(async () => {
    key = randomUUID();
    orderId = orderIdFor('/v1/checkouts', '1', key);
    assert.equal((await buy()).status, 202);
    await api.client.workflow.getHandle(checkoutWorkflowId(orderId)).terminate('lost');
    await inventory().reserveStock({
      ...{ orderId, customerId: '1', requestHash, payment, expectedTotal: null },
      lines: items.map((item) => ({ lineNo: 1, ...item })),
      startDeadline: new Date(Date.now() + 60_000).toISOString(),
    });
  });

  const buy = (body: object = cart()) =>
    api.http
      .post('/v1/checkouts')
      .set({ Authorization: `Bearer ${api.tokens.customer}`, 'Idempotency-Key': key, Prefer: 'respond-async' })
      .send(body);
  const look = (token = api.tokens.customer) =>
    api.http.get(`/v1/orders/${orderId}`).set('Authorization', `Bearer ${token}`);
  const codeOf = ({ status, body }: Readonly<{ status: number; body: unknown }>) => [status, (body as Body)['code']];

  it('is not said to be over while its stock is set aside: the money may have been taken', async () => {
    const again = await buy();
    assert.deepEqual(
      [again.status, again.headers['location'], again.headers['idempotent-replayed']],
      [202, `/v1/orders/${orderId}`, 'true'],
    );
    for (const token of [api.tokens.customer, api.tokens.admin]) {
      const res = await look(token);
      assert.deepEqual([res.status, (res.body as Body)['status'], res.headers['retry-after']], [202, 'PENDING', '30']);
    }
    assert.deepEqual(codeOf(await buy(cart({ items: [{ ...COASTER, quantity: 9 }] }))), [
      422,
      'IDEMPOTENCY_KEY_REUSED',
    ]);
    assert.deepEqual(codeOf(await look(api.tokens.otherCustomer)), [404, 'NOT_FOUND']);
    const cancel = api.http.post(`/v1/orders/${orderId}/cancel`);
    assert.deepEqual(codeOf(await cancel.set('Authorization', `Bearer ${api.tokens.customer}`)), [
      409,
      'NOT_CANCELLABLE',
    ]);
  });

  it('is over when its stock was given back, for the request, its owner and the administrator alike', async () => {
    await inventory().releaseStock({ orderId, customerId: '1', requestHash, unplaced: null });
    assert.deepEqual(codeOf(await buy()), [409, 'CHECKOUT_ABANDONED']);
    assert.deepEqual(codeOf(await look()), [409, 'CHECKOUT_ABANDONED']);
    assert.deepEqual(codeOf(await look(api.tokens.admin)), [409, 'CHECKOUT_ABANDONED']);
    assert.deepEqual(codeOf(await look(api.tokens.otherCustomer)), [404, 'NOT_FOUND']);
  });

  it('tells why it was undone where the repair left the reason', async () => {
    const unplaced = { code: 'CHECKOUT_FAILED', message: 'a service was down' } as const;
    await inventory().releaseStock({ orderId, customerId: '1', requestHash, unplaced });
    assert.deepEqual(codeOf(await buy()), [409, 'CHECKOUT_FAILED']);
    assert.deepEqual(codeOf(await look()), [409, 'CHECKOUT_FAILED']);
  });
});
