import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';

import fc from 'fast-check';
import { Webhook } from 'standardwebhooks';

import { simulatedWebhook } from '../../infra/payment-gateway/simulated-webhook.ts';
import { WebhookRejected } from '../../infra/payment-gateway/webhook.ts';

const secretOf = (bytes = 24): string => `whsec_${randomBytes(bytes).toString('base64')}`;
const [OLD, LIVE, FOREIGN] = [secretOf(), secretOf(), secretOf()];
const EVENT = {
  id: 'evt_1',
  type: 'charge.captured',
  createdAt: '2026-11-23T00:00:00.000Z',
  data: {
    providerId: 'ch_1',
    orderId: 'order-1',
    status: 'captured',
    captured: { minor: 39_000, currency: 'KRW' },
    refundedMinor: 0,
    declineCode: null,
    cardholder: 'not for us',
  },
};

type Signed = { body: Buffer; headers: Record<string, string> };

function signed(event: unknown, options: Readonly<{ secret?: string; ageMs?: number; id?: string }> = {}): Signed {
  const { secret = LIVE, ageMs = 0, id = 'evt_1' } = options;
  const body = typeof event === 'string' ? event : JSON.stringify(event);
  const at = new Date(Date.now() - ageMs);
  return {
    body: Buffer.from(body),
    headers: {
      'webhook-id': id,
      'webhook-timestamp': String(Math.floor(at.getTime() / 1_000)),
      'webhook-signature': new Webhook(secret).sign(id, at, body),
    },
  };
}

describe('the reader of the simulated gateway’s webhooks', () => {
  const read = simulatedWebhook([LIVE, OLD]);
  const rejected = ({ body, headers }: Signed, reader = read): void =>
    assert.throws(() => reader(body, headers), WebhookRejected);

  it('takes a genuine event, and of it only the fields that it knows', () => {
    const { body, headers } = signed(EVENT);
    assert.deepEqual(read(body, headers), {
      ...{ provider: 'simulated', eventId: 'evt_1', type: 'charge.captured', providerPaymentId: 'ch_1' },
      fields: {
        ...{ createdAt: EVENT.createdAt, orderId: 'order-1', status: 'captured', capturedMinor: 39_000 },
        ...{ capturedCurrency: 'KRW', refundedMinor: 0, declineCode: null },
      },
      bodyHash: createHash('sha256').update(body).digest('hex'),
    });
  });

  it('takes either live secret, and none that has been retired', () => {
    for (const secret of [LIVE, OLD]) {
      const { body, headers } = signed(EVENT, { secret });
      assert.equal(read(body, headers)?.eventId, 'evt_1');
    }
    rejected(signed(EVENT, { secret: OLD }), simulatedWebhook([LIVE]));
    rejected(signed(EVENT, { secret: FOREIGN }));
    rejected(signed(EVENT), simulatedWebhook([]));
  });

  it('takes one signature among several, as a sender that rotates its secret makes them', () => {
    const { body, headers } = signed(EVENT);
    const several = `v1,${'A'.repeat(43)}= v2,x ${headers['webhook-signature']}`;
    assert.equal(read(body, { ...headers, 'webhook-signature': several })?.eventId, 'evt_1');
  });

  it('takes no body in which any one byte is another', () => {
    const { body, headers } = signed(EVENT);
    fc.assert(
      fc.property(fc.nat(body.length - 1), fc.integer({ min: 1, max: 255 }), (at, change) => {
        const altered = Buffer.from(body);
        altered.writeUInt8(altered.readUInt8(at) ^ change, at);
        rejected({ body: altered, headers });
      }),
      { numRuns: 300 },
    );
    rejected({ body: Buffer.concat([body, Buffer.from(' ')]), headers });
  });

  it('takes no body that only reads like the signed one', () => {
    const { body, headers } = signed({ ...EVENT, note: '\uFFFD' });
    assert.equal(read(body, headers)?.eventId, 'evt_1');
    const at = body.indexOf(Buffer.from('\uFFFD'));
    rejected({ body: Buffer.concat([body.subarray(0, at), Buffer.from([0xff]), body.subarray(at + 3)]), headers });
  });

  it('takes five minutes either way, and not a second more', () => {
    for (const ageMs of [295_000, -295_000]) {
      const { body, headers } = signed(EVENT, { ageMs });
      assert.equal(read(body, headers)?.eventId, 'evt_1');
    }
    for (const ageMs of [302_000, -302_000]) rejected(signed(EVENT, { ageMs }));
  });

  it('takes no id and no time but those that were signed', () => {
    const { body, headers } = signed(EVENT);
    rejected({ body, headers: { ...headers, 'webhook-id': 'evt_2' } });
    rejected({ body, headers: { ...headers, 'webhook-timestamp': `${Number(headers['webhook-timestamp']) + 1}` } });
    rejected({ body, headers: { ...headers, 'webhook-timestamp': `${headers['webhook-timestamp']}.0` } });
    rejected(signed(EVENT, { id: 'evt_2' }));
  });

  it('takes nothing without all of its headers, or with one of them twice', () => {
    const { body, headers } = signed(EVENT);
    for (const name of Object.keys(headers)) {
      const { [name]: value = '', ...rest } = headers;
      rejected({ body, headers: rest });
      assert.throws(() => read(body, { ...rest, [name]: [value, value] }), WebhookRejected);
    }
  });

  it('has nothing to follow in a genuine event of another kind', () => {
    const { body, headers } = signed({ id: 'evt_1', type: 'payout.created', data: {} });
    assert.equal(read(body, headers), null);
  });

  for (const [name, event] of [
    ['no JSON', '{"id":"evt_1"'],
    ['nothing', ''],
    ['a bare value', 'null'],
    ['no charge', { ...EVENT, data: {} }],
    ['an amount beyond the safe integers', { ...EVENT, data: { ...EVENT.data, refundedMinor: 2 ** 53 } }],
    ['a charge id that is none', { ...EVENT, data: { ...EVENT.data, providerId: 'ch_1/../x' } }],
    ['__proto__ instead of its fields', '{"__proto__":{"id":"evt_1","type":"charge.captured"}}'],
  ] as const) {
    it(`rejects ${name}, however well it is signed, without repeating it`, () => {
      const { body, headers } = signed(event);
      assert.throws(
        () => read(body, headers),
        (error) => error instanceof WebhookRejected && !error.message.includes('evt_1'),
      );
    });
  }

  it('does not start with a secret of another form, and does not show it', () => {
    for (const secret of ['', 'hunter2', 'whsec_short', LIVE.replace('whsec_', ''), `${LIVE}\n`, secretOf(23)]) {
      assert.throws(
        () => simulatedWebhook([LIVE, secret]),
        (error) =>
          error instanceof Error && /secret 2/.test(error.message) && !(secret && error.message.includes(secret)),
      );
    }
  });
});
