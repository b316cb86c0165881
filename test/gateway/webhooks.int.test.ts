import assert from 'node:assert/strict';
import { setTimeout as sleep } from 'node:timers/promises';

import type { ProviderEvent } from '../../infra/payment-gateway/webhook.ts';
import { openReceiver, type Receiver } from './receiver.ts';
import { call, type FreshGateway, freshGateway, listenInProcess, won } from './running-gateway.ts';

const typesOf = (events: readonly ProviderEvent[]): string[] => events.map(({ type }) => type);

describe('a webhook of the simulated gateway', function () {
  this.timeout(60_000);
  let receiver: Receiver;
  let gateway: FreshGateway;
  let calls: FreshGateway['calls'];

  before(async () => {
    receiver = await openReceiver();
    gateway = await freshGateway({}, receiver.endpoint);
    ({ calls } = gateway);
  });
  afterEach(() => call(gateway.url, 'DELETE', '/faults'));
  after(async () => {
    await gateway.close();
    await receiver.close();
  });

  const script = (orderId: string, fault: Record<string, unknown>) =>
    calls.script({ kind: 'webhook', orderId, ...fault });

  it('tells of a capture and of each refund, with the charge as it was then', async () => {
    const charge = await calls.prepare();
    await calls.confirm(charge, 'tok_ok');
    const [captured] = await receiver.until(charge.orderId, 1);
    await calls.refund(charge, 'r-told', won(9_000));
    const [, refunded] = await receiver.until(charge.orderId, 2);

    assert.match(captured?.eventId ?? '', /^evt_/);
    assert.deepEqual([captured?.provider, captured?.providerPaymentId], ['simulated', charge.providerId]);
    assert.deepEqual(
      { ...captured?.fields, createdAt: undefined },
      {
        ...{ createdAt: undefined, orderId: charge.orderId, status: 'captured', declineCode: null },
        ...{ capturedMinor: 39_000, capturedCurrency: 'KRW', refundedMinor: 0 },
      },
    );
    assert.deepEqual([captured?.type, refunded?.type], ['charge.captured', 'charge.refunded']);
    assert.equal(refunded?.fields['refundedMinor'], 9_000);
    assert.notEqual(refunded?.eventId, captured?.eventId);
  });

  it('tells of a decline, of a cancel and of a closed account, and of nothing that changed nothing', async () => {
    const [declined, cancelled, closed] = [
      await calls.prepare(),
      await calls.prepare(),
      await calls.awaitingTransfer(),
    ];
    await calls.confirm(declined, 'tok_declined');
    await calls.confirm(declined, 'tok_ok', `${declined.orderId}:again`);
    await calls.cancel(cancelled);
    await calls.cancel(cancelled);
    await calls.act(closed, 'expire');
    for (const { orderId } of [declined, cancelled, closed]) await receiver.until(orderId, 1);
    await sleep(600);
    assert.deepEqual(typesOf(receiver.ofOrder(declined.orderId)), ['charge.declined']);
    assert.deepEqual(typesOf(receiver.ofOrder(cancelled.orderId)), ['charge.cancelled']);
    assert.deepEqual(typesOf(receiver.ofOrder(closed.orderId)), ['charge.cancelled']);
  });

  it('tells of a capture that nobody waits for, without any other call', async () => {
    const charge = await calls.prepare();
    await calls.script({ route: 'confirm', kind: 'land_late', ms: 300, orderId: charge.orderId });
    await assert.rejects(calls.confirm(charge, 'tok_ok'));
    assert.deepEqual(typesOf(await receiver.until(charge.orderId, 1)), ['charge.captured']);
  });

  it('can come before the answer of the call that caused it', async () => {
    const charge = await calls.prepare();
    await calls.script({ route: 'confirm', kind: 'hold', orderId: charge.orderId });
    const answer = calls.confirm(charge, 'tok_ok');
    await receiver.until(charge.orderId, 1);
    await call(gateway.url, 'DELETE', '/faults');
    assert.equal((await answer).body['status'], 'captured');
  });

  it('comes again, later each time and with the same id, until it is answered with 2xx', async () => {
    const charge = await calls.prepare();
    receiver.answerNext(500, 302, 404);
    await calls.confirm(charge, 'tok_ok');
    const events = await receiver.until(charge.orderId, 4);
    assert.equal(new Set(events.map(({ eventId, bodyHash }) => eventId + bodyHash)).size, 1);
    await sleep(600);
    assert.equal(receiver.ofOrder(charge.orderId).length, 4);
    const delivery = await gateway.db.webhookDelivery.findFirstOrThrow({ where: { orderId: charge.orderId } });
    assert.deepEqual([delivery.attempts, delivery.outcome], [4, 'delivered']);
    assert.ok(Number(delivery.endedAt) - Number(delivery.createdAt) >= 500 + 1_000 + 2_000);
  });

  it('waits for a shop that is down, and loses nothing', async () => {
    await receiver.down();
    const charges = await Promise.all(Array.from({ length: 20 }, () => calls.prepare()));
    await Promise.all(charges.map((charge) => calls.confirm(charge, 'tok_ok')));
    await sleep(400);
    await receiver.up();
    for (const { orderId } of charges) assert.equal((await receiver.until(orderId, 1)).length, 1);
  });

  it('is sent ten times at once when a script duplicates it', async () => {
    const charge = await calls.prepare();
    await script(charge.orderId, { mode: 'duplicate', copies: 10 });
    await calls.confirm(charge, 'tok_ok');
    const events = await receiver.until(charge.orderId, 10);
    assert.deepEqual([events.length, new Set(events.map(({ eventId }) => eventId)).size], [10, 1]);
  });

  it('never comes when a script loses it, and the next one does', async () => {
    const charge = await calls.prepare();
    await script(charge.orderId, { mode: 'lose' });
    await calls.confirm(charge, 'tok_ok');
    await sleep(600);
    await calls.refund(charge, 'r-after-lost', won(1));
    assert.deepEqual(typesOf(await receiver.until(charge.orderId, 1)), ['charge.refunded']);
  });

  it('comes late when a script delays it', async () => {
    const charge = await calls.prepare();
    await script(charge.orderId, { mode: 'delay', ms: 1_200 });
    const since = Date.now();
    await calls.confirm(charge, 'tok_ok');
    await receiver.until(charge.orderId, 1);
    assert.ok(Date.now() - since >= 1_190);
  });

  it('comes after the one that follows it when a script reorders them', async () => {
    const charge = await calls.prepare();
    await script(charge.orderId, { mode: 'reorder', ms: 30_000 });
    await calls.confirm(charge, 'tok_ok');
    await sleep(600);
    assert.deepEqual(receiver.ofOrder(charge.orderId), []);
    await calls.refund(charge, 'r-first', won(39_000));
    assert.deepEqual(typesOf(await receiver.until(charge.orderId, 2)), ['charge.refunded', 'charge.captured']);
  });

  it('that was reordered comes by itself when none follows', async () => {
    const charge = await calls.prepare();
    await script(charge.orderId, { mode: 'reorder', ms: 700 });
    await calls.confirm(charge, 'tok_ok');
    assert.deepEqual(typesOf(await receiver.until(charge.orderId, 1)), ['charge.captured']);
  });
});

describe('the webhooks of a simulated gateway without an address', function () {
  this.timeout(60_000);

  it('are kept, and sent once it has one', async () => {
    const receiver = await openReceiver();
    const gateway = await freshGateway();
    const charge = await gateway.calls.prepare();
    await gateway.calls.confirm(charge, 'tok_ok');
    const later = await listenInProcess(gateway.databaseUrl, {}, { webhooks: receiver.endpoint });
    try {
      assert.deepEqual(typesOf(await receiver.until(charge.orderId, 1)), ['charge.captured']);
    } finally {
      await later.close();
      await gateway.close();
      await receiver.close();
    }
  });
});
