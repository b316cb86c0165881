import assert from 'node:assert/strict';
import { rm } from 'node:fs/promises';
import { createServer } from 'node:http';
import { gzipSync } from 'node:zlib';

import express from 'express';
import { pino } from 'pino';
import supertest from 'supertest';

import { refusedWebhookLimit } from '../../api/limits.ts';
import { Unavailable } from '../../api/outage.ts';
import { problems } from '../../api/problem.ts';
import { CheckoutError } from '../../domain/errors.ts';
import { inheritedEnvironment } from '../../infra/inherited-environment.ts';
import { ownCounters } from '../../infra/request-counters.ts';
import { startChild } from '../support/child.ts';
import { freshDatabases, query, type TestDatabases } from '../support/databases.ts';
import { serverFolder } from '../support/servers.ts';
import { type TcpProxy, tcpProxy } from '../support/tcp-proxy.ts';
import { type SignedWebhook, signedWebhook, type WebhookOptions } from '../support/webhooks.ts';
import { type OpenApi, openApi, WEBHOOK_SECRETS } from './open-api.ts';

const [LIVE = '', NEXT = ''] = WEBHOOK_SECRETS;
const ROUTE = '/v1/payment-webhooks/simulated';
const FIVE_MINUTES_MS = 5 * 60_000;
/** No answer takes longer, whatever the database does. */
const BOUND_MS = 8_000;

const signed = (options: Partial<WebhookOptions> = {}) => signedWebhook({ secret: LIVE, ...options });

describe('the webhook inlet', function () {
  this.timeout(60_000);
  let api: OpenApi;
  before(async () => {
    api = await openApi('127.0.0.1:1'); // Temporal is not needed: what is stored is worked off elsewhere
  });
  after(() => api.close());

  const send = ({ body, headers }: Pick<SignedWebhook, 'body' | 'headers'>, route = ROUTE) =>
    api.http
      .post(route)
      .set({ ...headers })
      .send(body);
  const stored = (eventId: string) =>
    query(api.adminUrl('payment'), 'select provider, type, fields, outcome from payment_webhooks where event_id = $1', [
      eventId,
    ]);
  const count = async (): Promise<number> => {
    const [row] = await query<{ n: number }>(
      api.adminUrl('payment'),
      'select count(*)::int as n from payment_webhooks',
    );
    return row?.n ?? -1;
  };

  it('stores a genuine event before it answers, without a bearer token', async () => {
    const event = signed();
    const res = await send(event);
    assert.deepEqual([res.status, res.text], [204, '']);
    const [row] = await stored(event.eventId);
    assert.ok(row);
    assert.deepEqual([row['provider'], row['type'], row['outcome']], ['simulated', 'charge.captured', null]);
  });

  it('answers the same event ten times in parallel, and later again, and stores it once', async () => {
    const event = signed();
    const answers = await Promise.all(Array.from({ length: 10 }, () => send(event)));
    answers.push(await send(event));
    assert.deepEqual(new Set(answers.map(({ status }) => status)), new Set([204]));
    assert.equal((await stored(event.eventId)).length, 1);
  });

  it('takes events signed with either live secret while they are exchanged', async () => {
    const event = signed({ secret: NEXT });
    assert.equal((await send(event)).status, 204);
    assert.equal((await stored(event.eventId)).length, 1);
  });

  it('answers a genuine event of a kind that we do not follow, and stores nothing', async () => {
    const event = signed({ type: 'payout.created' });
    assert.equal((await send(event)).status, 204);
    assert.deepEqual(await stored(event.eventId), []);
  });

  it('lets the signature decide, not a token', async () => {
    const event = signed();
    const res = await send({ ...event, headers: { ...event.headers, authorization: 'Bearer forged' } });
    assert.equal(res.status, 204);
    const asAdmin = { 'content-type': 'application/json', authorization: `Bearer ${api.tokens.admin}` };
    assert.equal((await send({ body: event.body, headers: asAdmin })).status, 401);
  });

  it('refuses whatever is not genuine with one and the same answer, and stores nothing', async () => {
    const event = signed();
    const before = await count();
    const at = (ms: number) => signed({ at: new Date(Date.now() + ms) });
    const { headers, body } = event;
    const forged: Readonly<Record<string, Pick<SignedWebhook, 'body' | 'headers'>>> = {
      'an unknown secret': signed({ secret: `whsec_${Buffer.alloc(32, 9).toString('base64')}` }),
      'one byte altered': { headers, body: body.replace('7000', '7001') },
      'one blank added': { headers, body: `${body} ` },
      'no body': { headers, body: '' },
      'another id': { body, headers: { ...headers, 'webhook-id': 'evt_other' } },
      'another time': {
        body,
        headers: { ...headers, 'webhook-timestamp': String(Number(headers['webhook-timestamp']) - 1) },
      },
      'no signature': { body, headers: { ...headers, 'webhook-signature': '' } },
      'no headers at all': { body, headers: { 'content-type': 'application/json' } },
      'sent too long ago': at(-FIVE_MINUTES_MS - 5_000),
      'sent in the future': at(FIVE_MINUTES_MS + 5_000),
      'a signature of no event': signed({ data: { captured: 'all of it' } }),
    };
    const answers = new Set<string>();
    for (const [what, webhook] of Object.entries(forged)) {
      const res = await send(webhook);
      assert.equal(res.status, 401, what);
      assert.match(String(res.headers['content-type']), /^application\/problem\+json/);
      assert.doesNotMatch(String(res.headers['www-authenticate']), /Bearer/, 'a token would not help');
      answers.add(res.text);
    }
    assert.equal(answers.size, 1, 'the answer tells what was wrong');
    assert.match([...answers].join(), /"code":"WEBHOOK_REJECTED"/);
    assert.equal(await count(), before);
    assert.doesNotMatch(api.logged(), /whsec_|all of it/);
  });

  it('accepts what is nearly five minutes old', async () => {
    const event = signed({ at: new Date(Date.now() - FIVE_MINUTES_MS + 10_000) });
    assert.equal((await send(event)).status, 204);
  });

  it('refuses bodies that are too large or compressed, and providers that it does not know', async () => {
    const huge = signed({ data: { padding: 'x'.repeat(64 * 1_024) } });
    assert.equal((await send(huge)).status, 413);
    const zipped = await api.http
      .post(ROUTE)
      .set({ ...signed().headers, 'content-encoding': 'gzip' })
      .send(gzipSync('{}'));
    assert.equal(zipped.status, 415);
    for (const provider of ['stripe', 'SIMULATED', '__proto__', 'constructor', '%00']) {
      assert.equal((await send(signed(), `/v1/payment-webhooks/${provider}`)).status, 404, provider);
    }
  });

  it('comes through although shoppers behind the same address have used up their requests', async () => {
    const strict = await openApi('127.0.0.1:1', { settings: { rateLimitPerMinute: 1 } });
    try {
      await strict.http.get('/v1/products/102');
      assert.equal((await strict.http.get('/v1/products/102')).status, 429);
      for (let i = 0; i < 5; i++) {
        const { body, headers } = signed();
        assert.equal((await strict.http.post(ROUTE).set(headers).send(body)).status, 204);
      }
    } finally {
      await strict.close();
    }
  });
});

describe('the limit of webhooks', () => {
  /** Answers as the inlet would: what it is asked for. */
  const limited = () => {
    const app = express().use((req, res) => {
      const status = Number(req.query['status']);
      if (status === 401) throw new CheckoutError('WEBHOOK_REJECTED', 'no');
      if (status === 413) throw Object.assign(new Error('too large'), { status });
      if (status === 503) throw new Unavailable();
      res.status(status).end();
    });
    const http = supertest(
      createServer(app.use(refusedWebhookLimit(ownCounters(), 2), problems(pino({ level: 'silent' })))),
    );
    return async (status: number) => (await http.post(`/?status=${status}`)).status;
  };

  it('counts refused ones alone, never genuine ones and never our own outages', async () => {
    const ask = limited();
    for (let i = 0; i < 5; i++) assert.deepEqual([await ask(204), await ask(503)], [204, 503]);
    assert.deepEqual([await ask(401), await ask(413), await ask(401), await ask(413)], [401, 413, 429, 429]);
  });

  it('lets genuine ones through when somebody at the same address has used it up', async () => {
    const ask = limited();
    for (let i = 0; i < 4; i++) await ask(401);
    assert.deepEqual([await ask(401), await ask(204), await ask(503)], [429, 204, 503]);
  });
});

describe('the webhook inlet while its database does not answer', function () {
  this.timeout(60_000);
  let databases: TestDatabases;
  let proxy: TcpProxy;
  let api: OpenApi;
  before(async () => {
    databases = await freshDatabases();
    const url = new URL(databases.urls.payment);
    proxy = await tcpProxy(Number(url.port));
    url.port = String(proxy.port);
    api = await openApi('127.0.0.1:1', { paymentUrl: url.href });
  });
  after(async () => {
    await api.close();
    await proxy.close();
    await databases.drop();
  });
  const send = ({ body, headers }: SignedWebhook) => api.http.post(ROUTE).set(headers).send(body);
  const stored = (eventId: string) =>
    query(databases.adminUrl('payment'), 'select 1 from payment_webhooks where event_id = $1', [eventId]);

  it('says 503 within a bounded time, so that the provider sends it again, and takes it then', async () => {
    const event = signed();
    const frozen = proxy.holdBefore('payment_webhooks');
    const since = Date.now();
    const res = await send(event);
    assert.deepEqual([res.status, res.headers['retry-after']], [503, '5']);
    assert.ok(Date.now() - since < BOUND_MS, `it took ${Date.now() - since} ms`);
    frozen.release();
    assert.equal((await send(event)).status, 204);
    assert.equal((await stored(event.eventId)).length, 1);

    proxy.cutOff();
    const other = signed();
    assert.equal((await send(other)).status, 503);
    proxy.restore();
    assert.equal((await send(other)).status, 204);
    assert.equal((await stored(other.eventId)).length, 1);
  });
});

describe('an API that is killed right after it has taken a webhook', function () {
  this.timeout(90_000);
  let databases: TestDatabases;
  let folder: string;
  before(async () => {
    databases = await freshDatabases();
    folder = await serverFolder();
  });
  after(async () => {
    await databases.drop();
    await rm(folder, { recursive: true });
  });

  it('has stored it', async () => {
    const urls = Object.entries(databases.urls).map(([name, url]) => [`${name.toUpperCase()}_DATABASE_URL`, url]);
    const api = await startChild('api/server.ts', {
      ...inheritedEnvironment(),
      ...(Object.fromEntries(urls) as Record<string, string>),
      ...{ NODE_ENV: 'test', LOG_LEVEL: 'warn', PORT: '0', DATA_DIR: folder },
      ...{ TEMPORAL_ADDRESS: '127.0.0.1:1', GATEWAY_WEBHOOK_SECRETS: LIVE },
    });
    const { eventId, body, headers } = signed();
    const { status } = await fetch(`${api.url}${ROUTE}`, { method: 'POST', headers, body });
    await api.kill();
    assert.equal(status, 204);
    const rows = await query(
      databases.adminUrl('payment'),
      'select outcome from payment_webhooks where event_id = $1',
      [eventId],
    );
    assert.deepEqual(rows, [{ outcome: null }]);
  });
});
