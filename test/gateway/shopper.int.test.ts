import assert from 'node:assert/strict';

import fc from 'fast-check';

import type { ChargeJson } from '../../gateway/charges.ts';
import { simulatedGateway } from '../../infra/payment-gateway/simulated.ts';
import { call, type FreshGateway, freshGateway, type Reply, won } from './running-gateway.ts';

const BANK_TRANSFER = { method: 'bank_transfer' } as const;
const CARD = { method: 'card', token: 'tok_requires_confirmation' } as const;

describe('a charge that waits for the shopper', function () {
  this.timeout(120_000);
  let gateway: FreshGateway;
  let calls: FreshGateway['calls'];

  before(async () => {
    gateway = await freshGateway();
    ({ calls } = gateway);
  });
  after(() => gateway.close());

  const awaitingCard = async (): Promise<ChargeJson> => {
    const charge = await calls.prepare();
    const { body } = await calls.confirm(charge, CARD.token);
    assert.equal(body['status'], 'requires_confirmation');
    return body as ChargeJson;
  };
  const refused = ({ status, body }: Reply): void =>
    assert.deepEqual([status, body['code']], [409, 'not_awaiting_payment']);

  it('has an account of its own for a transfer, which the adapter hands on and a repeat does not change', async () => {
    const client = simulatedGateway({ url: gateway.url, timeoutMs: 5_000, maxProcessingMs: 1_000 });
    const orderId = 'order-by-transfer';
    const providerId = await client.prepare({ orderId, amount: won(39_000), method: 'bank_transfer' });
    const charge = await client.confirm(orderId, providerId, BANK_TRANSFER);
    assert.equal(charge.status, 'requires_confirmation');
    assert.ok(charge.instructions?.type === 'bank_transfer');
    assert.match(charge.instructions.account, /^110-\d{6}-\d{6}$/);
    await call(gateway.url, 'DELETE', `/keys?orderId=${orderId}`);
    assert.deepEqual(await client.confirm(orderId, providerId, BANK_TRANSFER), charge);
    assert.deepEqual(await client.lookup(providerId), charge);

    await call(gateway.url, 'POST', `/charges/${providerId}/transfer`, { body: {} });
    assert.deepEqual(await client.lookup(providerId), {
      ...charge,
      ...{ status: 'captured', captured: won(39_000), instructions: null },
    });
  });

  it('takes whatever amount and currency is transferred', async () => {
    for (const amount of [won(38_999), won(50_000), { minor: 39_000, currency: 'USD' }]) {
      const charge = await calls.awaitingTransfer();
      assert.deepEqual((await calls.act(charge, 'transfer', { amount })).body['captured'], amount);
      assert.deepEqual(await calls.moved(charge), [['CAPTURE', amount.minor, amount.currency]]);
    }
  });

  it('takes one transfer: a second one, and one to a closed account, go back', async () => {
    const [paid, closed] = [await calls.awaitingTransfer(), await calls.awaitingTransfer()];
    assert.equal((await calls.act(paid, 'transfer')).status, 200);
    refused(await calls.act(paid, 'transfer'));
    assert.equal((await calls.act(closed, 'expire')).body['status'], 'cancelled');
    refused(await calls.act(closed, 'transfer'));
    refused(await calls.act(closed, 'expire'));
    assert.equal((await calls.moved(paid)).length, 1);
    assert.deepEqual(await calls.moved(closed), []);
  });

  it('is paid by a card whose owner agrees, and declined when the owner does not', async () => {
    const [agreed, not] = [await awaitingCard(), await awaitingCard()];
    assert.equal((await calls.act(agreed, 'authorize', { outcome: 'approve' })).body['status'], 'captured');
    const { body } = await calls.act(not, 'authorize', { outcome: 'decline' });
    assert.deepEqual([body['status'], body['declineCode']], ['declined', 'authentication_failed']);
    refused(await calls.act(not, 'authorize', { outcome: 'approve' }));
  });

  it('takes no token for a transfer, no card without one, and no transfer to a card', async () => {
    const [transfer, card] = [await calls.prepare(won(1), 'order-token', 'bank_transfer'), await calls.prepare()];
    for (const reply of [await calls.confirm(transfer, 'tok_ok'), await calls.confirm(card, undefined)]) {
      assert.deepEqual([reply.status, reply.body['code']], [400, 'invalid_payment_method']);
    }
    refused(await calls.act(await awaitingCard(), 'transfer'));
    refused(await calls.act(await calls.awaitingTransfer(), 'authorize', { outcome: 'approve' }));
    refused(await calls.act(card, 'authorize', { outcome: 'approve' }));
    assert.equal((await calls.act(card, 'authorize', { outcome: 'perhaps' })).status, 400);
    assert.equal((await calls.lookup(card)).status, 'open');
  });

  it('whatever of transfer, cancel and expiry comes at once, exactly one of them wins', async () => {
    const act = fc.constantFrom('transfer', 'transfer', 'expire', 'cancel');
    const step = fc.record({ act, waitMs: fc.integer({ min: 0, max: 5 }) });
    await fc.assert(
      fc.asyncProperty(fc.array(step, { minLength: 2, maxLength: 6 }), async (steps) => {
        const charge = await calls.awaitingTransfer();
        const replies = await Promise.all(
          steps.map(async ({ act, waitMs }) => {
            await new Promise((resolve) => setTimeout(resolve, waitMs));
            return act === 'cancel' ? calls.cancel(charge) : calls.act(charge, act);
          }),
        );
        const { status } = await calls.lookup(charge);
        assert.ok(status === 'captured' || status === 'cancelled', status);
        assert.equal((await calls.moved(charge)).length, status === 'captured' ? 1 : 0);
        const won = steps.filter(({ act }, i) => act !== 'cancel' && replies[i]?.status === 200);
        assert.ok(won.length <= 1);
        for (const { act } of won) assert.equal(status, act === 'transfer' ? 'captured' : 'cancelled');
        const events = await gateway.db.webhookDelivery.findMany({ where: { chargeId: charge.providerId } });
        assert.deepEqual(
          events.map(({ type }) => type),
          [`charge.${status}`],
        );
      }),
      { numRuns: 25 },
    );
  });

  it('does nothing that a page of somebody else can send without asking', async () => {
    const charge = await calls.awaitingTransfer();
    const path = `/charges/${charge.providerId}`;
    for (const type of ['text/plain', 'application/x-www-form-urlencoded', 'application/jsonp']) {
      for (const act of ['/transfer', '/expire', '/authorize']) {
        const answer = await fetch(`${gateway.url}${path}${act}`, {
          method: 'POST',
          headers: { 'content-type': type },
        });
        assert.equal(answer.status, 415, `${act} ${type}`);
      }
    }
    assert.equal((await calls.lookup(charge)).status, 'requires_confirmation');
  });

  describe('has a page at the bank', () => {
    const pageOf = async (): Promise<{ charge: ChargeJson; url: string }> => {
      const charge = await awaitingCard();
      assert.ok(charge.instructions?.type === 'redirect');
      return { charge, url: charge.instructions.url };
    };
    const press = (url: string, outcome: string) =>
      fetch(url, { method: 'POST', body: new URLSearchParams({ outcome }), redirect: 'manual' });

    it('that loads nothing from anywhere and shows the amount and two buttons', async () => {
      const { charge, url } = await pageOf();
      const page = await fetch(url);
      const html = await page.text();
      assert.match(page.headers.get('content-security-policy') ?? '', /^default-src 'none'; style-src 'sha256-[^']+';/);
      assert.match(html, /₩39,000 for order/);
      assert.ok(html.includes(charge.orderId));
      assert.deepEqual(html.match(/value="(approve|decline)"/g), ['value="approve"', 'value="decline"']);
      assert.doesNotMatch(html, /src=|href=|<script/);
    });

    it('whose buttons approve or decline, once', async () => {
      for (const [outcome, status] of [
        ['approve', 'captured'],
        ['decline', 'declined'],
      ] as const) {
        const { charge, url } = await pageOf();
        for (const pressed of [outcome, 'approve', 'decline']) {
          const answer = await press(url, pressed);
          assert.deepEqual([answer.status, answer.headers.get('location')], [303, new URL(url).pathname]);
        }
        assert.equal((await calls.lookup(charge)).status, status);
        const html = await (await fetch(url)).text();
        assert.match(html, new RegExp(`<strong>${status}</strong>`));
        assert.doesNotMatch(html, /<button/);
      }
    });

    it('whose buttons nobody presses from a page of somebody else', async () => {
      const { charge, url } = await pageOf();
      const pressAs = (headers: Record<string, string>) =>
        fetch(url, { method: 'POST', headers, body: new URLSearchParams({ outcome: 'approve' }), redirect: 'manual' });
      const { origin } = new URL(url);
      const others: readonly Record<string, string>[] = [
        { 'sec-fetch-site': 'cross-site' },
        { 'sec-fetch-site': 'same-site', origin },
        { origin: 'https://shop.example' },
        { origin: 'null' },
      ];
      for (const headers of others) {
        assert.equal((await pressAs(headers)).status, 403, JSON.stringify(headers));
      }
      assert.equal((await calls.lookup(charge)).status, 'requires_confirmation');
      assert.equal((await pressAs({ origin })).status, 303);
      assert.equal((await pressAs({ 'sec-fetch-site': 'same-origin', origin })).status, 303);
      assert.equal((await calls.lookup(charge)).status, 'captured');
    });

    it('that refuses a form of another shape, and knows no other charge', async () => {
      const { charge, url } = await pageOf();
      assert.equal((await press(url, 'perhaps')).status, 400);
      assert.equal((await fetch(url, { method: 'POST' })).status, 400);
      assert.equal((await fetch(`${gateway.url}/pay/ch_00000000-0000-4000-8000-000000000000`)).status, 404);
      assert.equal((await fetch(`${gateway.url}/pay/%3Cscript%3E`)).status, 404);
      assert.equal((await calls.lookup(charge)).status, 'requires_confirmation');
    });
  });
});
