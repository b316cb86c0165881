import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';

import fc from 'fast-check';
import { Webhook } from 'standardwebhooks';

import { type Child, startChild } from '../support/child.ts';
import { eventually } from '../support/eventually.ts';
import { BANK, moneyOf, SHORT_LIMITS, SOLD } from '../support/money-shop.ts';
import { outboxOf } from '../support/saga-facts.ts';
import { startSystem, type TestSystem, WEBHOOK_SECRET } from '../support/system.ts';

/** Live beside the first one, as while secrets are exchanged. */
const OTHER_SECRET = `whsec_${Buffer.alloc(32, 9).toString('base64')}`;
const UNKNOWN_SECRET = `whsec_${Buffer.alloc(32, 11).toString('base64')}`;
const HELD_MS = 60_000;
const LOST = { kind: 'webhook', mode: 'lose', times: 100 } as const;
const TYPES = ['charge.captured', 'charge.declined', 'charge.cancelled', 'charge.refunded'] as const;

describe('webhooks of the payment provider', function () {
  this.timeout(120_000);
  let system: TestSystem;
  let shop: ReturnType<typeof moneyOf>;
  let workers: Child;

  before(async () => {
    const secrets = `${WEBHOOK_SECRET},${OTHER_SECRET}`;
    system = await startSystem({ env: { ...SHORT_LIMITS, GATEWAY_WEBHOOK_SECRETS: secrets } });
    shop = moneyOf(system);
    workers = await system.startWorkers();
  });
  after(() => system.stop());

  type Event = Readonly<{ id: string; text: string }>;
  /** What the provider might say about a charge, true or long past. */
  const eventOf = async (orderId: string, type: (typeof TYPES)[number] = 'charge.captured'): Promise<Event> => {
    const id = `evt_${randomUUID()}`;
    const status = type === 'charge.refunded' ? 'captured' : type.slice('charge.'.length);
    const data = { providerId: await shop.chargeOf(orderId), orderId, status };
    const rest = { captured: null, refundedMinor: 0, declineCode: null };
    const body = { id, type, createdAt: new Date().toISOString(), data: { ...data, ...rest } };
    return { id, text: JSON.stringify(body) };
  };
  const send = async (
    { id, text }: Event,
    { secret = WEBHOOK_SECRET, at = new Date(), sent = text, url = system.shop.url } = {},
  ): Promise<number> => {
    const answer = await fetch(`${url}/v1/payment-webhooks/simulated`, {
      method: 'POST',
      headers: {
        'content-type': 'application/json',
        'webhook-id': id,
        'webhook-timestamp': String(Math.floor(at.getTime() / 1_000)),
        'webhook-signature': new Webhook(secret).sign(id, at, text),
      },
      body: sent,
    });
    await answer.arrayBuffer();
    return answer.status;
  };
  const stored = async (events: readonly Event[]): Promise<number> => {
    const rows = await system.query('payment', 'select from payment_webhooks where event_id = any($1)', [
      events.map(({ id }) => id),
    ]);
    return rows.length;
  };
  /** An order that waits for a transfer of which the gateway itself will not tell. */
  const awaited = async (): Promise<string> => {
    const { key, orderId } = shop.nextOrder();
    await shop.fault(orderId, LOST);
    await shop.place(BANK, { key });
    await shop.untilCheckout(orderId, 'AWAITING_PAYMENT');
    return orderId;
  };
  const isSoldOnce = async (orderId: string): Promise<void> => {
    assert.deepEqual(await shop.ended(orderId), { status: 'COMPLETED' });
    assert.deepEqual(await shop.outcomeOf(orderId), SOLD);
    const told = (await outboxOf(system, orderId, 'payment')).filter((event) => event.startsWith('PaymentCompleted'));
    assert.equal(told.length, 1, 'one capture was told');
  };

  it('pay the order once when one comes ten times at once', async () => {
    const orderId = await awaited();
    assert.equal(await shop.transfer(orderId), 200);
    const event = await eventOf(orderId);
    const answers = await Promise.all(Array.from({ length: 10 }, () => send(event)));
    assert.deepEqual(new Set(answers), new Set([204]));
    await isSoldOnce(orderId);
    assert.equal(await stored([event]), 1);
  });

  it('are heard before the gateway has answered the charge itself', async () => {
    const { key, orderId } = shop.nextOrder();
    await shop.fault(orderId, { route: 'confirm', kind: 'hold', ms: HELD_MS });
    await shop.place(undefined, { key });
    await eventually('the payment is CAPTURED although its charge is not answered', async () => {
      const { payment, order } = await shop.outcomeOf(orderId);
      assert.notEqual(order, 'PAID');
      return payment === 'CAPTURED' ? true : undefined;
    });
    await system.clearFaults();
    await isSoldOnce(orderId);
  });

  it('are done although the process that answered 2xx is killed at once, and no worker ran', async () => {
    const orderId = await awaited();
    await workers.kill();
    assert.equal(await shop.transfer(orderId), 200);
    const inlet = await startChild('api/server.ts', system.env);
    const event = await eventOf(orderId);
    const answered = await send(event, { url: inlet.url });
    await inlet.kill();
    assert.equal(answered, 204);
    workers = await system.startWorkers();
    await isSoldOnce(orderId);
    const [row] = await eventually('the event has its outcome', async () => {
      const rows = await system.query<{ outcome: string | null }>(
        'payment',
        'select outcome from payment_webhooks where event_id = $1',
        [event.id],
      );
      return rows.some(({ outcome }) => outcome !== null) ? rows : undefined;
    });
    assert.equal(row?.outcome, 'APPLIED');
  });

  it('change nothing but what the gateway says is true, in whatever order, number and moment they come', async () => {
    type Schedule = Readonly<{ types: (typeof TYPES)[number][]; repeats: number; paidAfter: number; atOnce: boolean }>;
    const schedule: fc.Arbitrary<Schedule> = fc.record({
      types: fc.array(fc.constantFrom(...TYPES), { minLength: 2, maxLength: 8 }),
      repeats: fc.integer({ min: 1, max: 3 }),
      /** Events before the transfer, in parts of all. */
      paidAfter: fc.double({ min: 0, max: 1, noNaN: true }),
      atOnce: fc.boolean(),
    });
    const parallel = fc.array(schedule, { minLength: 4, maxLength: 6 });
    const run = async ({ types, repeats, paidAfter, atOnce }: Schedule): Promise<void> => {
      const orderId = await awaited();
      const events: Event[] = [];
      for (const type of types) events.push(await eventOf(orderId, type));
      const all = Array.from({ length: repeats }, () => events).flat();
      const early = Math.floor(all.length * paidAfter);
      const sendAll = async (some: readonly Event[]): Promise<void> => {
        const answers: number[] = [];
        if (atOnce) answers.push(...(await Promise.all(some.map((event) => send(event)))));
        else for (const event of some) answers.push(await send(event));
        assert.ok(answers.every((status) => status === 204));
      };
      await sendAll(all.slice(0, early));
      assert.equal(await shop.transfer(orderId), 200);
      await sendAll(all.slice(early));
      // The last word, which the gateway lost.
      assert.equal(await send(await eventOf(orderId)), 204);
      await isSoldOnce(orderId);
      assert.equal(await stored(events), events.length);
    };
    await fc.assert(
      fc.asyncProperty(parallel, async (schedules) => {
        await Promise.all(schedules.map(run));
      }),
      { numRuns: 2, endOnFailure: true },
    );
  });

  it('are refused without a trace when forged, altered or stale, and believed with either live secret', async () => {
    const orderId = await awaited();
    const refused: [string, Parameters<typeof send>[1]][] = [
      ['forged', { secret: UNKNOWN_SECRET }],
      ['from 301 s ago', { at: new Date(Date.now() - 301_000) }],
      ['from 301 s ahead', { at: new Date(Date.now() + 302_000) }],
    ];
    for (const [what, how] of refused) {
      const event = await eventOf(orderId);
      assert.deepEqual([await send(event, how), await stored([event])], [401, 0], what);
    }
    const altered = await eventOf(orderId);
    const sent = altered.text.replace('captured', 'Captured');
    assert.deepEqual([await send(altered, { sent }), await stored([altered])], [401, 0]);

    const event = await eventOf(orderId);
    assert.equal(await shop.transfer(orderId), 200);
    assert.equal(await send(event, { secret: OTHER_SECRET }), 204);
    await isSoldOnce(orderId);
  });

  it('leave books that agree', () => shop.booksAgree());
});
