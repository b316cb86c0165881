import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';

import { inventoryActivities } from '../../activities/inventory/activities.ts';
import { requestHashOf } from '../../api/requests.ts';
import { checkoutWorkflowId } from '../../domain/workflow-ids.ts';
import { orderIdFor } from '../../events/ids.ts';
import { freePort } from '../../infra/embedded/ports.ts';
import { eventually } from '../support/eventually.ts';
import { GENEROUS, HOLD_MS } from '../support/inventory.ts';
import { temporalServer } from '../support/servers.ts';
import { type GrpcProxy, grpcProxy } from './grpc-proxy.ts';
import { cart, COASTER, type OpenApi, openApi } from './open-api.ts';

type Body = Readonly<Record<string, unknown>>;

const OTHER_CART = cart({ items: [{ ...COASTER, quantity: 9 }] });
const INTERNAL = 13;
const PERMISSION_DENIED = 7;

const buy = (api: OpenApi, key: string, body: object = cart(), prefer = 'respond-async') =>
  api.http
    .post('/v1/checkouts')
    .set({ Authorization: `Bearer ${api.tokens.customer}`, 'Idempotency-Key': key, Prefer: prefer })
    .send(body);

const orderOf = (key: string): string => orderIdFor('/v1/checkouts', '1', key);

const describeCheckout = (api: OpenApi, key: string) =>
  api.client.workflow.getHandle(checkoutWorkflowId(orderOf(key))).describe();

/** The checkout of `cart()` as the inventory service knows it after its first step. */
async function reserveFor(api: OpenApi, key: string): Promise<void> {
  const items = [{ ...COASTER, variantId: null, locationCode: 'MAIN' }];
  const payment = { method: 'card', token: 'tok_ok' } as const;
  await inventoryActivities({ platform: api.platform, limits: GENEROUS, holdMs: HOLD_MS }).reserveStock({
    orderId: orderOf(key),
    customerId: '1',
    requestHash: requestHashOf({ items, payment, expectedTotal: null }),
    lines: items.map((item) => ({ lineNo: 1, ...item })),
    payment,
    expectedTotal: null,
    startDeadline: new Date(Date.now() + 60_000).toISOString(),
  });
}

function assertReused({ status, body, text }: Readonly<{ status: number; body: unknown; text: string }>): void {
  assert.deepEqual([status, (body as Body)['code']], [422, 'IDEMPOTENCY_KEY_REUSED'], text);
}

describe('a key while no worker runs', function () {
  this.timeout(60_000);
  let api: OpenApi;
  const keys: string[] = [];
  const newKey = (): string => {
    const key = randomUUID();
    keys.push(key);
    return key;
  };
  before(async () => {
    api = await openApi((await temporalServer()).address);
  });
  after(async () => {
    for (const key of keys) {
      const handle = api.client.workflow.getHandle(checkoutWorkflowId(orderOf(key)));
      await handle.terminate().catch((error: unknown) => {
        assert.equal((error as Error).name, 'WorkflowNotFoundError'); // this one was never to start
      });
    }
    await api.close();
  });

  it('belongs to the request that started the checkout, however the other one wants to wait', async () => {
    const key = newKey();
    assert.equal((await buy(api, key)).status, 202);
    for (const prefer of ['respond-async', 'wait=0', 'wait=1']) assertReused(await buy(api, key, OTHER_CART, prefer));
    assert.equal((await buy(api, key)).status, 202, 'the request itself may be repeated');
  });

  it('belongs to the request on record, and another body starts nothing', async () => {
    const key = newKey();
    await reserveFor(api, key);
    assertReused(await buy(api, key, OTHER_CART));
    await assert.rejects(describeCheckout(api, key), { name: 'WorkflowNotFoundError' });
  });
});

describe('a checkout on record while Temporal cannot be reached', function () {
  this.timeout(60_000);
  let api: OpenApi;
  before(async () => {
    api = await openApi(`127.0.0.1:${await freePort()}`);
  });
  after(() => api.close());

  it('is answered 202 with its location, because it has started; another body is refused, a new key gets 503', async () => {
    const key = randomUUID();
    await reserveFor(api, key);
    const again = await buy(api, key);
    assert.deepEqual(
      [again.status, again.headers['location'], again.headers['idempotent-replayed']],
      [202, `/v1/orders/${orderOf(key)}`, 'true'],
    );
    assertReused(await buy(api, key, OTHER_CART));
    assert.equal((await buy(api, randomUUID())).status, 503);
  });
});

describe('an error that Temporal answers to a start', function () {
  this.timeout(60_000);
  let api: OpenApi;
  let proxy: GrpcProxy;
  before(async () => {
    proxy = await grpcProxy(Number((await temporalServer()).address.split(':')[1]));
    api = await openApi(`127.0.0.1:${proxy.port}`);
  });
  after(async () => {
    await api.close();
    await proxy.close();
  });

  it('is answered 202 when it does not say that nothing was done: the checkout may be stored, and here it is', async () => {
    const key = randomUUID();
    const stored = () => describeCheckout(api, key).catch(() => undefined);
    proxy.intercept('ExecuteMultiOperation', async (forward) => {
      forward();
      await eventually('the checkout is stored', stored);
      return INTERNAL;
    });
    const res = await buy(api, key, cart(), 'wait=20');
    assert.deepEqual([res.status, res.headers['location']], [202, `/v1/orders/${orderOf(key)}`], res.text);
    assert.equal((await describeCheckout(api, key)).status.name, 'RUNNING');
    await api.client.workflow.getHandle(checkoutWorkflowId(orderOf(key))).terminate();
  });

  it('is answered 503 when it says that nothing was done', async () => {
    const key = randomUUID();
    proxy.intercept('ExecuteMultiOperation', () => Promise.resolve(PERMISSION_DENIED));
    assert.equal((await buy(api, key, cart(), 'wait=20')).status, 503);
    await assert.rejects(describeCheckout(api, key), { name: 'WorkflowNotFoundError' });
  });
});
