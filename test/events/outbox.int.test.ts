import assert from 'node:assert/strict';

import { appendToOutbox, type ShopEvent, shopEvent } from '../../events/outbox.ts';
import { type Databases, openPlatform } from '../../infra/databases.ts';
import { freshDatabases, query, type TestDatabases } from '../support/databases.ts';
import { assertOutboxIsSound, eventsOf } from '../support/outbox.ts';
import { checkoutInput } from '../support/shop.ts';

describe('the outbox', () => {
  let databases: TestDatabases;
  let platform: Databases['platform'];
  let adminUrl: string;
  let orderId: string;

  before(async () => {
    databases = await freshDatabases();
    adminUrl = databases.adminUrl('platform');
    platform = openPlatform(databases.urls.platform, { poolSize: 4 });
  });
  after(async () => {
    await platform.$disconnect();
    await databases.drop();
  });
  beforeEach(() => {
    ({ orderId } = checkoutInput('42', []));
  });

  const event = (version: number, reason = 'CHECKOUT', locationCode = orderId) =>
    shopEvent('InventoryReserved', `10-0-${locationCode}`, version, orderId, {
      ...{ productId: '10', variantId: null, locationCode, quantityChange: -1, reservedChange: 1 },
      ...{ available: 8, reserved: 2, lowStockThreshold: 10, reason, orderId },
    });
  const append = (...events: ShopEvent[]) => platform.$transaction((tx) => appendToOutbox(tx, events));
  const stored = async () => (await eventsOf(adminUrl, orderId)).map(({ aggregateVersion }) => aggregateVersion);

  it('keeps events in the order in which they were given', async () => {
    await append(...Array.from({ length: 50 }, (_, index) => event(index + 1)));
    assert.deepEqual(
      await stored(),
      Array.from({ length: 50 }, (_, index) => index + 1),
    );
    assert.ok((await assertOutboxIsSound(adminUrl)) >= 50);
  });

  it('stores nothing of a transaction that fails afterwards', async () => {
    const failing = platform.$transaction(async (tx) => {
      await appendToOutbox(tx, [event(1)]);
      throw new Error('the state could not be stored');
    });
    await assert.rejects(failing, /the state could not be stored/);
    assert.deepEqual(await stored(), []);
  });

  it('lets no second event take the version of the first, and no event be stored twice', async () => {
    await append(event(1));
    await assert.rejects(append(event(1)), /23505/);
    const other = shopEvent('InventoryReleased', `10-0-${orderId}`, 1, orderId, event(1).data);
    await assert.rejects(append(event(2), other), /23505/);
    assert.deepEqual(await stored(), [1]);
  });

  it('keeps every character of an event, of any script', async () => {
    const reason = `'; drop table outbox; -- "\\ 한국어 😀 \u0001`;
    await append(event(1, reason));
    const [first] = await eventsOf(adminUrl, orderId);
    assert.equal(first?.data['reason'], reason);
  });

  it('waits for a relay: nothing is published when it is written', async () => {
    await append(event(1));
    const rows = await query(adminUrl, 'select published_at from outbox where aggregate_id = $1', [`10-0-${orderId}`]);
    assert.deepEqual(rows, [{ published_at: null }]);
  });

  it('takes no events, too', async () => {
    await append();
    assert.deepEqual(await stored(), []);
  });
});
