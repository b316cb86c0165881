import assert from 'node:assert/strict';

import supertest from 'supertest';

import { createApp } from '../../api/app.ts';
import { query } from '../support/databases.ts';
import { temporalServer } from '../support/servers.ts';
import { type OpenApi, openApi } from './open-api.ts';

const ROUTE = '/v1/admin/audit';

type Row = Readonly<{ invariant: number; row: string; is: string; shouldBe: string }>;
type Body = Readonly<{
  verdict: string;
  startedAt: string;
  finishedAt: string;
  invariants: readonly Readonly<{ id: number; looked: number; findings: number; leftOut?: string }>[];
  found: Readonly<{ findings: number }>;
  findings: readonly Row[];
}>;

describe('the audit over HTTP', function () {
  this.timeout(60_000);
  let api: OpenApi;
  before(async () => {
    api = await openApi((await temporalServer()).address);
  });
  after(() => api?.close());

  const as = (token: string) => ({ Authorization: `Bearer ${token}` });
  const ask = (search = '?maxAge=0') => api.http.get(`${ROUTE}${search}`).set(as(api.tokens.admin));
  const verdict = async (search?: string): Promise<Body> => {
    const res = await ask(search);
    assert.equal(res.status, 200, res.text);
    assert.equal(res.headers['cache-control'], 'no-store');
    return res.body as Body;
  };

  it('is for administrators alone, and takes no other field', async () => {
    assert.equal((await api.http.get(ROUTE)).status, 401);
    assert.equal((await api.http.get(ROUTE).set(as(api.tokens.customer))).status, 403);
    assert.equal((await ask('?maxAge=-1')).status, 422);
    assert.equal((await ask('?only=1')).status, 422);
    assert.equal((await api.http.post(ROUTE).set(as(api.tokens.admin))).status, 405);
  });

  it('answers everybody who asks meanwhile with one audit, and names what it has no look at', async () => {
    const [one, other] = await Promise.all([verdict(), verdict()]);
    assert.deepEqual(one, other);
    assert.deepEqual(await verdict('?maxAge=3600'), one);

    assert.deepEqual(
      one.invariants.map(({ id }) => id),
      [1, 2, 3, 4, 5, 6, 7, 8, 9],
    );
    assert.ok((one.invariants[0]?.looked ?? 0) > 100, JSON.stringify(one.invariants));
    const left = one.invariants.filter(({ leftOut }) => leftOut !== undefined);
    assert.deepEqual(
      left.map(({ id, looked }) => [id, looked]),
      [
        [4, 0],
        [5, 0],
      ],
      'it has no books of the provider',
    );
    assert.notEqual(one.verdict, 'CLEAN');
    assert.deepEqual(
      one.findings.filter(({ invariant }) => invariant < 7),
      [],
    );
  });

  it('names the row that somebody has damaged', async () => {
    const [broken] = await query<{ row: string }>(
      api.adminUrl('platform'),
      `update inventory_snapshots set available_quantity = available_quantity + 1
       where id = (select min(id) from inventory_snapshots)
       returning 'stock ' || concat_ws('-', product_id, coalesce(variant_id::text, ''), location_code) as row`,
    );
    const found = await verdict();
    assert.equal(found.verdict, 'BROKEN', JSON.stringify(found));
    const stock = found.findings.find(({ invariant }) => invariant === 1);
    assert.equal(stock?.row, broken?.row, JSON.stringify(found.findings));
    assert.match(stock?.is ?? '', /^available \d+, reserved 0, version 1$/);
    assert.notEqual(stock?.is, stock?.shouldBe);
    assert.equal(found.invariants[0]?.findings, 1);
    assert.equal(found.found.findings, found.findings.length);
  });

  it('names what it cannot read, without its address', async () => {
    const payment = 'postgresql://somebody:secret@127.0.0.1:9/none';
    const app = createApp({ ...api.deps, audit: { ...api.deps.audit, urls: { ...api.urls, payment } } });
    const res = await supertest(app).get(ROUTE).set(as(api.tokens.admin));
    assert.equal(res.status, 503, res.text);
    assert.equal((res.body as { detail: string }).detail, 'the audit cannot read database payment; try again');
    assert.ok(res.headers['retry-after'] !== undefined);
    assert.doesNotMatch(res.text, /127\.0\.0\.1|secret/);
  });

  it('ends with its process, which tells whoever waits to ask another one', async () => {
    const stopping = new AbortController();
    const app = createApp({ ...api.deps, stopping: stopping.signal });
    const asked = supertest(app).get(`${ROUTE}?maxAge=0`).set(as(api.tokens.admin));
    stopping.abort();
    const { status, text, headers } = await asked;
    assert.deepEqual(
      [status, (JSON.parse(text) as { detail: string }).detail],
      [503, 'this process is stopping; ask again'],
    );
    assert.ok(headers['retry-after'] !== undefined);
  });
});
