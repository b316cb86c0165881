import assert from 'node:assert/strict';

import { type Story, story as storySchema, type StoryEntry } from '../../api/contract/story.ts';
import { readStream } from '../support/event-stream.ts';
import { eventually } from '../support/eventually.ts';
import { startSystem, type TestSystem } from '../support/system.ts';

const COASTERS = { productId: '102', quantity: 2 };
type Kind = StoryEntry['kind'];
const ofKind = <K extends Kind>({ entries }: Story, kind: K) =>
  entries.filter((entry): entry is Extract<StoryEntry, { kind: K }> => entry.kind === kind);

/** Every part is a process of its own: API, workers, relays with the projection, gateway, Temporal, PostgreSQL. */
describe('the story of an order', function () {
  this.timeout(120_000);
  let system: TestSystem;
  before(async () => {
    system = await startSystem();
    await Promise.all([system.startWorkers(), system.startEvents()]);
  });
  after(() => system.stop());

  const tell = async (orderId: string, bearer = system.shop.tokens.customer): Promise<Story> => {
    const { status, body } = await system.shop.call('GET', `/v1/orders/${orderId}/story`, { bearer });
    assert.equal(status, 200, JSON.stringify(body));
    return storySchema.strict().parse(body);
  };
  const buy = async (token: string): Promise<string> => {
    const { body } = await system.shop.place({ items: [COASTERS], token, prefer: 'respond-async' });
    return String(body['orderId']);
  };
  const follow = async (orderId: string, query = '') => {
    const url = `${system.shop.url}/v1/orders/${orderId}/events${query}`;
    const stream = await readStream(url, { token: system.shop.tokens.customer });
    assert.equal(stream.status, 200, stream.text);
    return stream;
  };
  /** Once everything has come to rest: the workflows have ended, and every event is in the views that take it. */
  const whole = (orderId: string, bearer: string) =>
    eventually('the story is whole', async () => {
      const story = await tell(orderId, bearer);
      const begun = ofKind(story, 'workflow').filter(({ what }) => what === 'STARTED').length;
      const ended = ofKind(story, 'workflow').length - begun;
      const applied = ofKind(story, 'event').every((event) => event.applied?.every(({ at }) => at !== null));
      const refunds = ofKind(story, 'refund').length % 2 === 0; // each has an end
      return begun === ended && applied && refunds && story.missing.length === 0 ? story : undefined;
    });

  it('has the steps, the stock, the money, the states and the events of an order that was paid and given back', async () => {
    const { shop } = system;
    const orderId = await buy('tok_ok');
    const stream = await follow(orderId);
    assert.deepEqual(
      (await stream.ends()).map(({ data }) => [data['status'], data['last']]),
      [
        ['PENDING', false],
        ['PAID', true],
      ],
    );
    assert.equal((await shop.refund(orderId, { lines: [{ lineNo: 1, quantity: 1, restock: true }] })).status, 202);
    await eventually('it is given back', async () =>
      (await shop.order(orderId)).body['status'] === 'PARTIALLY_REFUNDED' ? true : undefined,
    );
    const admin = await whole(orderId, shop.tokens.admin);

    const steps = ofKind(admin, 'step');
    for (const step of ['reserveStock', 'createOrder', 'capturePayment', 'markOrderPaid', 'commitStock', 'restock']) {
      const found = steps.filter((one) => one.step === step);
      assert.deepEqual([found.length, found[0]?.outcome, found[0]?.failure], [1, 'DONE', null], step);
      assert.ok((found[0]?.attempts ?? 0) >= 1);
    }
    assert.deepEqual(
      ofKind(admin, 'stock').map(({ movement, quantityChange, reservedChange }) => [
        movement,
        quantityChange,
        reservedChange,
      ]),
      [
        ['RESERVED', -2, 2],
        ['COMMITTED', 0, -2],
        ['ADJUSTED', 1, 0],
      ],
    );
    assert.deepEqual(
      ofKind(admin, 'order').map(({ status }) => status),
      ['PENDING', 'PAID', 'PARTIALLY_REFUNDED'],
    );
    assert.deepEqual(
      ofKind(admin, 'payment').map(({ what, provider }) => [what, provider]),
      [
        ['ASKED', 'simulated'],
        ['CAPTURED', 'simulated'],
      ],
    );
    assert.deepEqual(
      ofKind(admin, 'refund').map(({ what, reason }) => [what, reason]),
      [
        ['REQUESTED', 'RETURNED'],
        ['SUCCEEDED', 'RETURNED'],
      ],
    );
    const types = ofKind(admin, 'event').map(({ type }) => type);
    for (const type of ['InventoryReserved', 'OrderCreated', 'PaymentCompleted', 'OrderPaid', 'OrderRefunded']) {
      assert.ok(types.includes(type), `${type} is not among ${types.join()}`);
    }
    const [paid] = ofKind(admin, 'event').filter(({ type }) => type === 'OrderPaid');
    assert.deepEqual(paid?.applied?.map(({ view }) => view).sort(), ['orders', 'products', 'sales', 'users']);
    assert.notEqual(paid.publishedAt, null);
    const times = admin.entries.map(({ at }) => at);
    assert.deepEqual(times, times.toSorted());

    const customer = await whole(orderId, shop.tokens.customer);
    assert.deepEqual(
      customer.entries.map(({ kind, at }) => [kind, at]),
      admin.entries.filter(({ kind }) => kind !== 'webhook').map(({ kind, at }) => [kind, at]),
    );
    assert.doesNotMatch(JSON.stringify(customer), /workflowId|provider|simulated|operator|RETURNED|message/);
  });

  it('says why a card was refused: the code to its shopper, the words to administrators alone', async () => {
    const { tokens } = system.shop;
    const orderId = await buy('tok_insufficient_funds');
    const [, failed] = await (await follow(orderId)).ends();
    assert.deepEqual(failed?.data['failure'], { code: 'PAYMENT_DECLINED' });
    const [admin, customer] = await Promise.all([whole(orderId, tokens.admin), whole(orderId, tokens.customer)]);
    const failureIn = (story: Story) => ofKind(story, 'step').find(({ step }) => step === 'capturePayment')?.failure;
    assert.equal(failureIn(admin)?.code, 'PAYMENT_DECLINED');
    assert.match(failureIn(admin)?.message ?? '', /declined/);
    assert.deepEqual(failureIn(customer), { code: 'PAYMENT_DECLINED' });
    assert.ok(ofKind(admin, 'stock').some(({ movement }) => movement === 'RELEASED'));
  });

  it('is told of a checkout that never made an order', async () => {
    const items = [{ productId: '999999999', quantity: 1 }];
    const { body } = await system.shop.place({ items, prefer: 'respond-async' });
    const orderId = String(body['orderId']);
    await eventually('it is refused', async () =>
      (await system.shop.order(orderId)).status === 202 ? undefined : true,
    );
    const { entries } = await tell(orderId);
    const step = entries.find((entry) => entry.kind === 'step');
    assert.deepEqual([step?.step, step?.outcome], ['reserveStock', 'FAILED']);
    assert.ok(!entries.some(({ kind }) => kind === 'order' || kind === 'payment'));
  });

  it("is nobody else's business", async () => {
    const orderId = await buy('tok_ok');
    await (await follow(orderId)).ends();
    const bearer = system.shop.tokens.otherCustomer;
    const stranger = await system.shop.call('GET', `/v1/orders/${orderId}/story`, { bearer });
    assert.deepEqual([stranger.status, stranger.body['code']], [404, 'NOT_FOUND']);
  });
});
