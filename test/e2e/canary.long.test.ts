import assert from 'node:assert/strict';
import { randomBytes, randomUUID } from 'node:crypto';

import { DATABASES } from '../../infra/config.ts';
import type { Child } from '../support/child.ts';
import { eventually } from '../support/eventually.ts';
import { type OtlpReceiver, otlpReceiver } from '../support/otlp-receiver.ts';
import { startSystem, type TestSystem } from '../support/system.ts';
import { WEBHOOK_SECRET } from '../support/system.ts';
import { signedWebhook } from '../support/webhooks.ts';

/** Planted everywhere where a caller can put text. The number adds up as a card's does, and belongs to no card. */
const EMAIL = 'canary.bird@leak.example';
const PHONE = '+82-10-7777-1234';
const CARD = '4000056655665556';
const TOKEN = 'tok_canary_secret';
const BEARER = 'canary-bearer-secret';

/** As they may be found: as they were sent, encoded for a URL, without what stands between the digits. */
const SPELLINGS = [
  ...[EMAIL, encodeURIComponent(EMAIL), 'canary.bird'],
  ...[PHONE, encodeURIComponent(PHONE), PHONE.replaceAll(/[+-]/g, ''), '10-7777-1234'],
  ...[CARD, '4000 0566 5566 5556', '4000-0566-5566-5556', TOKEN, BEARER],
];
const foundIn = (text: string): string[] => SPELLINGS.filter((spelling) => text.includes(spelling));

/**
 * Where what was planted is meant to be stored in clear, and why. Nothing else may hold it: neither events on their way,
 * nor views, nor what is left of requests.
 */
const MEANT: Readonly<Record<string, string>> = {
  'platform users': 'the one table of who customers are; erasing a customer empties it',
  'order order_status_history': 'why an operator gave money back; people are not named there (docs/operations.md)',
  'payment refund_requests': 'the same reason, as it was asked for',
  'payment refunds': 'the same reason, with the money that went back',
};

type Told = Readonly<{ what: string; status: number; text: string }>;

describe('what callers plant', function () {
  this.timeout(120_000);
  let receiver: OtlpReceiver;
  let system: TestSystem;
  let children: readonly Child[];
  const told: Told[] = [];

  before(async () => {
    receiver = await otlpReceiver();
    system = await startSystem({
      env: {
        TEMPORAL_PAYLOAD_ENCRYPTION: 'on',
        TEMPORAL_PAYLOAD_KEYS: `canary:${randomBytes(32).toString('base64')}`,
        OTEL_EXPORTER_OTLP_ENDPOINT: receiver.url,
        OTEL_BSP_SCHEDULE_DELAY: '100',
        LOG_LEVEL: 'trace',
      },
    });
    const started = await Promise.all([system.startWorkers(), system.startEvents()]);
    children = [system.api, system.gateway, ...started];
    await plant();
  });
  after(async () => {
    await system.stop();
    await receiver.close();
  });

  async function send(
    method: string,
    path: string,
    call: Readonly<{ bearer?: string; body?: unknown; raw?: string; headers?: Record<string, string> }>,
  ) {
    const { bearer = system.shop.tokens.admin, body, raw = JSON.stringify(body), headers } = call;
    const answer = await fetch(`${system.shop.url}${path}`, {
      method,
      headers: {
        ...{ authorization: `Bearer ${bearer}`, 'content-type': 'application/json', 'idempotency-key': EMAIL },
        ...{
          'x-request-id': CARD,
          'user-agent': `${EMAIL} ${PHONE}`,
          cookie: `who=${EMAIL}`,
          referer: `http://${EMAIL}/`,
        },
        ...{ traceparent: `00-${randomBytes(16).toString('hex')}-${randomBytes(8).toString('hex')}-01` },
        ...{ tracestate: `who=${EMAIL}`, baggage: `who=${EMAIL},card=${CARD}`, 'x-forwarded-for': PHONE },
        ...headers,
      },
      ...(raw !== undefined && { body: raw }),
    });
    const text = await answer.text();
    const known = JSON.stringify([...answer.headers]);
    told.push({ what: `${method} ${path}`, status: answer.status, text: `${known} ${text}` });
    return { status: answer.status, text, headers: answer.headers };
  }

  const bodyOf = ({ text }: { text: string }) => JSON.parse(text) as Record<string, unknown>;

  async function plant(): Promise<void> {
    const person = { username: `bird-${CARD}`, email: EMAIL, fullName: `Bird ${PHONE} ${CARD}` };
    const made = await send('POST', '/v1/users', { body: person });
    assert.equal(made.status, 201, made.text);
    await send('POST', '/v1/users', { body: person }); // the stored answer
    await send('POST', '/v1/users', { body: person, headers: { 'idempotency-key': CARD } }); // taken
    const userId = String(bodyOf(made)['userId']);
    const changed = await send('PATCH', `/v1/users/${userId}`, { body: { fullName: `Bird of ${EMAIL} ${PHONE}` } });
    assert.equal(changed.status, 200, changed.text);

    const bearer = await system.tokenOf(userId);
    const cart = { items: [{ productId: '102', quantity: 1 }] };
    const buy = (token: string, key: string) =>
      send('POST', `/v1/checkouts?note=${encodeURIComponent(EMAIL)}&card=${CARD}`, {
        ...{ bearer, body: { ...cart, payment: { method: 'card', token } } },
        headers: { 'idempotency-key': key, prefer: `wait=20, note="${EMAIL}"` },
      });
    const bought = await buy('tok_ok', CARD);
    assert.equal(bought.status, 201, bought.text);
    const orderId = String(bodyOf(bought)['orderId']);
    await buy(TOKEN, PHONE); // no token of the provider
    assert.equal((await buy(CARD, 'a card')).status, 422, 'a card number is no token');
    assert.equal((await buy('4000-0566-5566-5556', 'a card, too')).status, 422);

    const refund = { amount: { minor: 1, currency: 'KRW' }, reason: `wrote ${EMAIL}, called ${PHONE}, card ${CARD}` };
    assert.equal((await send('POST', `/v1/orders/${orderId}/refunds`, { body: refund })).status, 202);
    await eventually('the refund is in the history', async () => {
      const { text } = await send('GET', `/v1/orders/${orderId}`, { bearer });
      return text.includes('REFUNDED') ? true : undefined;
    });
    const reason = `${EMAIL} ${PHONE} ${CARD}`;
    await send('POST', `/v1/admin/orders/${orderId}/resolve`, { body: { action: 'retry', reason } });
    await send('POST', `/v1/admin/orders/${orderId}/resolve`, {
      body: { action: 'retry', reason, workflowId: `checkout-${EMAIL}` },
    });
    await send('POST', '/v1/inventory/adjustments', { body: { productId: '102', quantityChange: 1, reason } });
    await send('POST', `/v1/orders/${orderId}/cancel`, { bearer, body: { reason } });

    for (const extra of [{ [EMAIL]: PHONE }, { note: CARD }, { __proto__: null, constructor: EMAIL }]) {
      for (const path of ['/v1/checkouts', '/v1/users', '/v1/products', `/v1/orders/${orderId}/refunds`]) {
        await send('POST', path, { body: { ...cart, ...extra }, ...(path === '/v1/checkouts' && { bearer }) });
      }
    }
    for (const raw of [`{"email":"${EMAIL}`, `["${CARD}"`, `"${PHONE}"`, EMAIL, `{"${EMAIL}":1,"${EMAIL}":2}`]) {
      await send('POST', '/v1/checkouts', { bearer, raw });
      await send('POST', '/v1/payment-webhooks/simulated', { raw });
    }
    const words = [EMAIL, encodeURIComponent(EMAIL), CARD, encodeURIComponent(PHONE), `%E0%A4%A ${EMAIL}`];
    for (const word of words) {
      for (const path of ['', 'orders/', 'products/', 'inventory/', 'payment-webhooks/', 'admin/views/', 'users/']) {
        await send('GET', `/v1/${path}${word}`, {});
      }
    }
    for (const query of [
      'orders?cursor',
      'orders?status',
      'products?search',
      'products?cursor',
      'sales/daily?currency',
    ]) {
      for (const word of [EMAIL, CARD, PHONE]) await send('GET', `/v1/${query}=${encodeURIComponent(word)}`, {});
    }
    for (const word of [BEARER, CARD, EMAIL, `${BEARER}.${BEARER}.${BEARER}`]) {
      await send('GET', '/v1/users/me', { bearer: word });
    }
    const headers = {
      'if-match': `"${CARD}"`,
      'read-after': EMAIL,
      'last-event-id': EMAIL,
      'if-none-match': `"${EMAIL}"`,
    };
    await send('PATCH', `/v1/users/${userId}`, { body: { fullName: EMAIL }, headers });
    await send('GET', `/v1/orders/${orderId}/events`, { bearer, headers: { ...headers, accept: EMAIL } });
    await send('GET', '/v1/users/me', { bearer, headers: { 'read-after': CARD } });

    const data = { orderId, declineCode: EMAIL, customer: { email: EMAIL, phone: PHONE, card: CARD } };
    for (const secret of [WEBHOOK_SECRET, `whsec_${Buffer.alloc(32, 1).toString('base64')}`]) {
      const { body, headers: signature } = signedWebhook({ secret, data, eventId: `evt_${randomUUID()}` });
      await send('POST', '/v1/payment-webhooks/simulated', { raw: body, headers: { ...signature } });
    }
    await eventually('the views have every event', async () => {
      const { text } = await send('GET', '/v1/users/me', { bearer });
      return text.includes('Bird of') ? true : undefined;
    });
  }

  it('is answered to nobody in an error', () => {
    const refused = told.filter(({ status }) => status >= 400);
    assert.ok(refused.length > 80, `${refused.length} refusals`);
    const leaks = refused.map(({ what, status, text }) => ({ what, status, found: foundIn(text) }));
    assert.deepEqual(
      leaks.filter(({ found }) => found.length > 0),
      [],
    );
    assert.deepEqual(
      told.filter(({ status }) => status >= 500),
      [],
    );
  });

  it('is in no raw history of Temporal, no memo and no search attribute', async () => {
    const { workflowService } = system.temporal;
    const { executions } = await workflowService.listWorkflowExecutions({ namespace: 'default' });
    assert.ok(executions.length >= 3, `${executions.length} workflows`);
    assert.deepEqual(foundIn(textIn(executions)), [], 'what is listed of workflows');
    for (const { execution } of executions) {
      const { history } = await workflowService.getWorkflowExecutionHistory({ namespace: 'default', execution });
      const text = textIn(history);
      assert.match(text, /binary\/encrypted/);
      assert.deepEqual(foundIn(text), [], execution?.workflowId ?? '');
    }
  });

  it('is in no line of any log', () => {
    for (const child of children) {
      const text = child.output();
      assert.notEqual(text, '');
      const lines = text.split('\n').filter((line) => foundIn(line).length > 0);
      assert.deepEqual(lines, []);
    }
  });

  it('is in no span', () => {
    const processes = new Set(receiver.spans().map(({ process }) => process));
    assert.deepEqual(
      [...processes].sort(),
      ['api', 'events', 'gateway', 'workers'].filter((name) => processes.has(name)),
    );
    assert.ok(processes.size >= 3);
    assert.deepEqual(foundIn(receiver.raw()), []);
  });

  it('is in clear in no event, no view and no table but those that are meant to hold it', async () => {
    const found = new Map<string, readonly string[]>();
    for (const database of DATABASES) {
      const tables = await system.query<{ name: string }>(
        database,
        `select format('%I', tablename) as name from pg_tables where schemaname = 'public' order by 1`,
      );
      for (const { name } of tables) {
        const spellings: string[] = [];
        for (const spelling of SPELLINGS) {
          const rows = await system.query(database, `select from ${name} t where strpos(t::text, $1) > 0 limit 1`, [
            spelling,
          ]);
          if (rows.length > 0) spellings.push(spelling);
        }
        if (spellings.length > 0) found.set(`${database} ${name}`, spellings);
      }
    }
    // Exactly these: where nothing is found any more, the search or the exception is wrong.
    assert.deepEqual([...found.keys()].sort(), Object.keys(MEANT).sort(), JSON.stringify([...found]));
  });
});

/** Every text and every byte in a message, however deep. */
function textIn(value: unknown): string {
  if (typeof value === 'string') return value;
  if (value instanceof Uint8Array) return Buffer.from(value).toString('latin1');
  if (typeof value !== 'object' || value === null) return '';
  return Object.entries(value)
    .map(([key, one]) => `${key} ${textIn(one)}`)
    .join('\n');
}
