import assert from 'node:assert/strict';

import type { Express } from 'express';
import supertest from 'supertest';

import { createApp } from '../../api/app.ts';
import { decodePayloads } from '../../api/contract/codec.ts';
import { OUTSIDE_OPERATIONS, refusalsOf } from '../../api/contract/operation.ts';
import { OPERATIONS } from '../../api/contract/operations.ts';
import { receiveWebhook } from '../../api/contract/webhooks.ts';
import { openApiDocument } from '../../api/open-api.ts';
import { expressPath } from '../../api/routes.ts';
import { ERROR_CODES } from '../../domain/errors.ts';
import { apiCheck, documentCheck, type SentAnswer } from '../support/documented.ts';
import { checkedApp } from './checked-app.ts';
import { type OpenApi, openApi } from './open-api.ts';

type Layer = Readonly<{
  route?: Readonly<{ path: string; methods: Readonly<Record<string, boolean>> }>;
  handle: Readonly<{ stack?: readonly Layer[] }>;
  /** Whether it is asked for every path. */
  slash: boolean;
  match(path: string): boolean;
}>;

/** What looks at requests of one path and is no route: it sets headers, counts, or reads a cookie. */
const LOOKED_AT = [receiveWebhook.path, decodePayloads.path].map(expressPath);

/** Method and path of everything that Express would answer, as it writes them. */
function mounted(app: Express): string[] {
  const walk = (layer: Layer): string[] => {
    const { route, handle, slash } = layer;
    if (route !== undefined) {
      const methods = Object.keys(route.methods).filter((method) => method !== '_all'); // the 405 of the path
      return methods.map((method) => `${method} ${route.path}`);
    }
    if (handle.stack?.some((inner) => inner.route !== undefined) === true) {
      return slash ? handle.stack.flatMap(walk) : ['routes under a path of their own, which nobody can compare'];
    }
    const isKnown = slash || LOOKED_AT.some((path) => layer.match(path));
    return isKnown ? (handle.stack ?? []).flatMap(walk) : ['a middleware of a path that is not known here'];
  };
  return (app.router as unknown as Readonly<{ stack: readonly Layer[] }>).stack.flatMap(walk).sort();
}

type Paths = Readonly<Record<string, Readonly<Record<string, unknown>>>>;

const described = (document: object): string[] =>
  Object.entries((document as Readonly<{ paths: Paths }>).paths)
    .flatMap(([path, methods]) => Object.keys(methods).map((method) => `${method} ${expressPath(path)}`))
    .sort();

describe('the contract of the API', function () {
  this.timeout(60_000);
  const document = openApiDocument(OPERATIONS);
  let api: OpenApi;
  before(async () => (api = await openApi('127.0.0.1:1'))); // Temporal is not asked
  after(() => api.close());

  it('describes every route that is mounted, and none that is not', () => {
    assert.deepEqual(mounted(createApp(api.deps)), described(document));
  });

  it('would tell of a route that nobody described, also under a path of its own, and of one that nobody mounted', () => {
    const app = createApp(api.deps);
    app.get('/v1/secret', (_req, res) => void res.end());
    app.use('/debug', (_req, res) => void res.end());
    const [more, hidden] = mounted(app).filter((route) => !described(document).includes(route));
    assert.deepEqual([more, hidden], ['a middleware of a path that is not known here', 'get /v1/secret']);

    const fewer = described(openApiDocument(OPERATIONS.slice(1)));
    assert.equal(mounted(createApp(api.deps)).filter((route) => !fewer.includes(route)).length, 1);
  });

  it('names every error code with some operation, except those that come before one is found', () => {
    const refused = new Set(OPERATIONS.flatMap(refusalsOf));
    assert.deepEqual(
      ERROR_CODES.filter((code) => !refused.has(code)),
      OUTSIDE_OPERATIONS,
    );
  });

  it('has operations of different names, and a description for every answer', () => {
    const ids = OPERATIONS.map(({ id }) => id);
    assert.equal(new Set(ids).size, ids.length);
    const answers = OPERATIONS.flatMap(({ answers }) => Object.values(answers));
    assert.deepEqual(
      answers.filter(({ description }) => description === ''),
      [],
    );
  });

  it('refuses to describe two operations of one method and path, or two schemas of one name', () => {
    const [first] = OPERATIONS;
    assert.throws(() => openApiDocument([...OPERATIONS, ...(first === undefined ? [] : [first])]), /declared twice/);
  });

  describe('is held against every answer', () => {
    const product = { productId: '1', quantityChange: 1 };
    const ready: SentAnswer = {
      method: 'GET',
      path: '/healthz',
      status: 200,
      headers: { 'content-type': 'application/json; charset=utf-8', 'x-request-id': 'a' },
      body: '{"status":"ok"}',
    };
    const cases: readonly (readonly [string, Partial<SentAnswer>, RegExp | undefined])[] = [
      ['what is as it says', {}, undefined],
      ['a field that it does not describe', { body: '{"status":"ok","secret":1}' }, /additional properties/],
      ['a field that is missing', { body: '{}' }, /required property 'status'/],
      ['a status that it does not declare', { status: 418 }, /418 is not declared/],
      ['another type of body', { headers: { ...ready.headers, 'content-type': 'text/html' } }, /is text\/html/],
      ['a header that is missing', { headers: { 'content-type': 'application/json' } }, /lacks X-Request-Id/],
      ['what is no JSON', { body: 'oops' }, /must be object/],
      ['a page of nobody', { path: '/v1/secret', body: JSON.stringify(product) }, /belongs to no operation/],
    ];
    for (const [what, change, expected] of cases) {
      it(`and ${expected === undefined ? 'takes' : 'finds'} ${what}`, () => {
        const wrong = apiCheck({ ...ready, ...change });
        if (expected === undefined) assert.equal(wrong, undefined);
        else assert.match(wrong ?? 'nothing', expected);
      });
    }

    it('so that a test gets 599 with the reason for one that differs', async () => {
      const told: string[] = [];
      const check = documentCheck(openApiDocument(OPERATIONS.filter(({ path }) => path !== '/v1/products')));
      const app = checkedApp(createApp(api.deps), (wrong) => told.push(wrong), check);
      const { status, text } = await supertest(app).get('/v1/products');
      assert.equal(status, 599);
      assert.match(text, /GET \/v1\/products answered 200.*belongs to no operation/);
      assert.deepEqual(told, [text]);
      await supertest(app).get('/healthz').expect(200);
    });
  });

  describe('can be read', () => {
    it('as a document, which a reader who has it is not sent again', async () => {
      const { text, headers } = await api.http.get('/openapi.json').expect(200);
      assert.deepEqual(JSON.parse(text), JSON.parse(JSON.stringify(document)));
      const again = await api.http.get('/openapi.json').set('If-None-Match', String(headers['etag'])).expect(304);
      assert.equal(again.text, '');
    });

    it('as a page that takes all it needs from this process, under a policy that lets it do no more', async () => {
      const { text, headers } = await api.http.get('/docs').expect(200);
      const parts = [...text.matchAll(/(?:src|href)="([^"]+)"/g)].map(([, path]) => String(path));
      assert.deepEqual(parts.sort(), [
        '/docs/favicon-32x32.png',
        '/docs/initializer.js',
        '/docs/swagger-ui-bundle.js',
        '/docs/swagger-ui.css',
        '/openapi.json',
      ]);
      for (const path of parts) await api.http.get(path).expect(200);
      assert.match(String(headers['content-security-policy']), /^default-src 'none'; script-src 'self'; /);
      assert.doesNotMatch(text, /<script>|\bon\w+=/);
    });

    it('while other answers keep their policy, and no other file is given away', async () => {
      const { headers } = await api.http.get('/v1/products').expect(200);
      assert.match(String(headers['content-security-policy']), /^default-src 'self';/);
      for (const asset of ['package.json', '..%2fpackage.json', '..%2f..%2f..%2fpackage.json', 'index.html']) {
        await api.http.get(`/docs/${asset}`).expect(404);
      }
    });
  });
});
