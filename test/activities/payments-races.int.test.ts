import assert from 'node:assert/strict';
import { setTimeout as sleep } from 'node:timers/promises';

import { ApplicationFailure } from '@temporalio/common';
import fc from 'fast-check';

import type { CaptureInput } from '../../activities/payments/contract.ts';
import { settlementKey } from '../../activities/payments/settlement-tables.ts';
import { storeWebhook } from '../../activities/payments/webhook-store.ts';
import { GatewayOutage } from '../../infra/payment-gateway/outage.ts';
import { assertOutboxIsSound, eventsOf } from '../support/outbox.ts';
import {
  act,
  captureInput,
  decisionOf,
  eventAbout,
  moneyOf,
  openPayments,
  paymentOf,
  type PaymentService,
  settleFully,
  transferInput,
} from '../support/payments.ts';

const ROUNDS = 30;
/** When each starts, at the latest, milliseconds: the shopper early, so that there is something to decide about. */
const LATEST_MS = { capture: 40, check: 40, webhook: 40, 'webhook again': 40, abandon: 60, shopper: 10, settle: 60 };
const ACTORS = ['capture', 'check', 'webhook', 'webhook again', 'abandon', 'shopper', 'settle'] as const;
type Actor = (typeof ACTORS)[number];
/** Without these the payment is captured, or nobody decides. */
const GIVING_UP: Actor[] = ['abandon', 'settle'];

describe('a payment that everybody decides at once', function () {
  this.timeout(120_000);
  let shop: PaymentService;

  before(async () => {
    shop = await openPayments();
  });
  after(() => shop.close());

  it('is decided once, in whatever order they come; it never goes back, and money is kept only when it counts', async () => {
    const seen = new Set<string>();
    const starts = fc.record(
      Object.fromEntries(ACTORS.map((actor) => [actor, fc.integer({ min: 0, max: LATEST_MS[actor] })])) as Record<
        Actor,
        fc.Arbitrary<number>
      >,
    );
    const round = fc.record({
      starts,
      transfer: fc.boolean(),
      absent: fc.oneof(fc.subarray([...ACTORS]), fc.constant(GIVING_UP)),
    });
    await fc.assert(
      fc.asyncProperty(round, async ({ starts: at, transfer, absent }) => {
        seen.add(await decideAtOnce(transfer, at, absent));
      }),
      { numRuns: ROUNDS, endOnFailure: true },
    );
    assert.ok(seen.has('CAPTURED') && seen.has('ABANDONED'), `only ${[...seen].join()} was ever decided`);
    assert.ok((await assertOutboxIsSound(shop.adminUrl)) > ROUNDS);
  });

  /** @returns the decision */
  async function decideAtOnce(
    transfer: boolean,
    at: Readonly<Record<Actor, number>>,
    absent: readonly Actor[],
  ): Promise<string> {
    const input = transfer ? transferInput() : captureInput('tok_requires_confirmation');
    const { orderId } = input;
    await shop.activities.capturePayment(input);
    const event = await eventAbout(shop, orderId);
    await storeWebhook(shop.payment, event);

    const acts: Readonly<Record<Actor, () => Promise<unknown>>> = {
      capture: () => shop.activities.capturePayment(input),
      check: () => shop.activities.checkPayment(input),
      webhook: () => shop.webhooks.applyWebhook(event),
      'webhook again': () => shop.webhooks.applyWebhook(event),
      abandon: () => shop.activities.abandonPayment(input),
      shopper: () =>
        transfer ? act(shop, orderId, 'transfer') : act(shop, orderId, 'authorize', { outcome: 'approve' }),
      // It gives up as `abandon` does, so only where that one takes part.
      settle: () => (absent.includes('abandon') ? Promise.resolve() : settleFully(shop, orderId)),
    };
    const present = ACTORS.filter((actor) => !absent.includes(actor));
    const ends = await Promise.allSettled(
      present.map(async (actor) => {
        await sleep(at[actor]);
        return acts[actor]();
      }),
    );
    for (const end of ends) if (end.status === 'rejected') assertBusiness(end.reason);
    return judge(input);
  }

  async function judge(input: CaptureInput): Promise<string> {
    const { orderId } = input;
    const decision = (await decisionOf(shop, orderId)) ?? 'none';
    const events = (await eventsOf(shop.adminUrl, orderId)).map(({ data }) => String(data['status']));
    assertForward(events);
    if (decision === 'none') {
      // Nobody gave it up and nobody heard of money: whoever looks next learns what became of it.
      await shop.activities.checkPayment(input);
      return decision;
    }
    const settled = decision === 'ABANDONED' ? await settleFully(shop, orderId) : undefined;
    const money = (await moneyOf(shop, orderId)).map(({ type, minor, key }) => [type, minor, key]);
    const { status } = (await paymentOf(shop, orderId)) ?? {};
    const taken = ['CAPTURE', 39_000, null];
    const given = ['REFUND', 39_000, settlementKey(orderId)];
    if (decision === 'CAPTURED' && status === 'CAPTURED') assert.deepEqual(money, [taken]);
    else if (status === 'REFUNDED') assert.deepEqual(money, [taken, given]);
    else assert.deepEqual([status, money], ['CANCELLED', []]);
    if (settled !== undefined) assert.equal(settled.outcome === 'REFUNDED', status === 'REFUNDED');
    assert.equal(await decisionOf(shop, orderId), decision);
    return decision;
  }
});

/** Each status that the world was told may only be followed by those behind it. */
const ORDER = ['PENDING', 'AWAITING_CONFIRMATION', 'CAPTURED', 'CANCELLED', 'LATE_CAPTURED', 'REFUNDED'];

function assertForward(statuses: readonly string[]): void {
  const ranks = statuses.map((status) => ORDER.indexOf(status));
  assert.ok(!ranks.includes(-1), statuses.join());
  assert.deepEqual(
    ranks,
    ranks.toSorted((a, b) => a - b),
    `it went back: ${statuses.join()}`,
  );
  assert.equal(new Set(statuses).size, statuses.length, `it was told twice: ${statuses.join()}`);
}

/** A recorded no, or a call in doubt that a worker would repeat. Anything else is a mistake of ours. */
function assertBusiness(reason: unknown): void {
  if (reason instanceof GatewayOutage) return;
  assert.ok(reason instanceof ApplicationFailure && reason.type === 'CHECKOUT_ABANDONED', String(reason));
}
