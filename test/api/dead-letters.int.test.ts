import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';

import { decodeJwt } from 'jose';

import { ATTEMPTS, openConsumer } from '../../events/bus/consume.ts';
import { fileBehind, fileLetter } from '../../events/bus/dead-letters.ts';
import type { StoredEvent } from '../../events/stored-event.ts';
import { query } from '../support/databases.ts';
import { temporalServer } from '../support/servers.ts';
import { type OpenApi, openApi } from './open-api.ts';

const ROUTE = '/v1/admin/dead-letters';
const EMAIL = 'mina@shop.test';
type Item = Readonly<Record<string, unknown>>;

describe('dead letters over HTTP', function () {
  this.timeout(60_000);
  let api: OpenApi;
  let away: OpenApi;
  before(async () => {
    const { address } = await temporalServer();
    api = await openApi(address);
    away = await openApi(address, { busUrl: 'postgresql://a:b@127.0.0.1:9/none' });
  });
  after(() => Promise.all([api?.close(), away?.close()]));
  beforeEach(() => query(api.adminUrl('bus'), 'truncate dead_letters restart identity'));

  const as = (token: string) => ({ Authorization: `Bearer ${token}` });
  const list = (search = '') => api.http.get(`${ROUTE}${search}`).set(as(api.tokens.admin));
  const redrive = (id: string) => api.http.post(`${ROUTE}/${id}/redrive`).set(as(api.tokens.admin));
  const discard = (id: string, body: object = { reason: 'the product was never sold' }) =>
    api.http.post(`${ROUTE}/${id}/discard`).set(as(api.tokens.admin)).send(body);
  const items = async (search = ''): Promise<Item[]> => {
    const res = await list(search);
    assert.equal(res.status, 200, res.text);
    return (res.body as { items: Item[] }).items;
  };

  it('lists them oldest first, in pages and by group, without the data of the event', async () => {
    assert.deepEqual((await list()).body, { items: [], next: null });
    await fileOne(api, 'a', 1);
    await fileBehind(api, 'views', 'user/a', [deliveryOf('a', 2)]);
    await fileOne(api, 'b', 1, 'search');

    const res = await list('?limit=2');
    assert.equal(res.headers['cache-control'], 'no-store');
    const { items: page, next } = res.body as { items: Item[]; next: string };
    assert.deepEqual(
      page.map(({ id, group, state, subject, aggregateVersion, attempts, error, type }) => [
        ...[id, group, state, subject, aggregateVersion, attempts, error, type],
      ]),
      [
        ['1', 'views', 'FAILED', 'user/a', 1, 3, 'it failed', 'UserUpdated'],
        ['2', 'views', 'WAITING', 'user/a', 2, 0, 'waits behind an earlier event of its subject', 'UserUpdated'],
      ],
    );
    assert.match(String(page[0]?.['failedAt']), /^\d{4}-\d\d-\d\dT[\d:.]+Z$/);
    assert.equal(res.text.includes(EMAIL), false, 'personal data are shown');
    const rest = await list(`?limit=2&cursor=${next}`);
    const { items: last, next: none } = rest.body as { items: Item[]; next: null };
    assert.deepEqual([last.map(({ id }) => id), none], [['3'], null]);
    assert.deepEqual(
      (await items('?group=search')).map(({ id }) => id),
      ['3'],
    );
    assert.deepEqual(await items('?group=nobody'), []);
  });

  it('gives the letters of a subject to their consumer again, which clears them', async () => {
    await fileOne(api, 'a', 1);
    await fileBehind(api, 'views', 'user/a', [deliveryOf('a', 2)]);
    await fileOne(api, 'b', 1);
    const res = await redrive('2');
    assert.equal(res.status, 202, res.text);
    assert.deepEqual(res.body, { id: '2', group: 'views', subject: 'user/a', letters: 2 });
    assert.deepEqual(
      (await items()).map(({ state }) => state),
      ['REDRIVEN', 'REDRIVEN', 'FAILED'],
    );
    assertProblem(await redrive('1'), 409, 'ALREADY_REDRIVEN');

    const handled: number[] = [];
    const consumer = openConsumer({
      ...{ bus: api.bus, group: 'views', holder: 'test', attempts: ATTEMPTS, stopping: new AbortController().signal },
      handle: (batch) => Promise.resolve(void handled.push(...batch.map((event) => event.aggregateVersion))),
      onError: (error) => assert.fail(String(error)),
    });
    assert.equal(await consumer.redrive(), 2);
    assert.deepEqual(handled, [1, 2]);
    assert.deepEqual(
      (await items()).map(({ subject }) => subject),
      ['user/b'],
    );
    assertProblem(await redrive('1'), 404, 'NOT_FOUND');
  });

  it('is redriven once, however many ask at the same moment', async () => {
    await fileOne(api, 'a', 1);
    await fileBehind(api, 'views', 'user/a', [deliveryOf('a', 2)]);
    const answers = await Promise.all(Array.from({ length: 10 }, (_, n) => redrive(n % 2 === 0 ? '1' : '2')));
    assert.deepEqual(answers.map(({ status }) => status).sort(), [202, ...Array.from({ length: 9 }, () => 409)]);
  });

  it('gives a letter up with a reason, under the name of the administrator, and lets go what waited behind it', async () => {
    await fileOne(api, 'a', 1);
    await fileBehind(api, 'views', 'user/a', [deliveryOf('a', 2)]);
    assertProblem(await discard('2'), 409, 'NOT_TRIED');
    const res = await discard('1');
    assert.equal(res.status, 200, res.text);
    assert.deepEqual(res.body, { id: '1', group: 'views', subject: 'user/a', redriven: 1 });
    assert.deepEqual(
      (await items()).map(({ id, state }) => [id, state]),
      [['2', 'REDRIVEN']],
    );
    const [given, ...others] = await items('?discarded=true');
    assert.deepEqual([given?.['id'], given?.['state'], others], ['1', 'DISCARDED', []]);
    const { at, ...who } = given?.['discarded'] as Record<string, unknown>;
    assert.deepEqual(who, { by: decodeJwt(api.tokens.admin).sub, reason: 'the product was never sold' });
    assert.match(String(at), /^\d{4}-\d\d-\d\dT[\d:.]+Z$/);

    assertProblem(await discard('1'), 409, 'ALREADY_DISCARDED');
    assertProblem(await redrive('1'), 409, 'ALREADY_DISCARDED');
    assertProblem(await discard('2'), 409, 'ALREADY_REDRIVEN');
  });

  it('gives nothing up without a reason that a person can read', async () => {
    await fileOne(api, 'a', 1);
    const bodies = [
      {},
      { reason: '' },
      { reason: ' ' },
      { reason: 'x'.repeat(401) },
      { reason: '\u0000' },
      { reason: 7 },
    ];
    for (const body of [...bodies, { reason: 'no use', by: 'somebody else' }]) {
      assertProblem(await discard('1', body), 422, 'INVALID_REQUEST');
    }
    assert.deepEqual(
      (await items()).map(({ state }) => state),
      ['FAILED'],
    );
  });

  it('knows no letter of an id that there is not, or that is none', async () => {
    for (const id of ['4711', '9223372036854775807', '9223372036854775808', '0', '-1', 'x', '1e3', '%00']) {
      for (const res of [await redrive(id), await discard(id)]) {
        assert.ok([400, 404].includes(res.status), `${id}: ${res.text}`);
        assert.match(String(res.type), /problem\+json/);
      }
    }
    assertProblem(await redrive('4711'), 404, 'NOT_FOUND');
    assertProblem(await discard('4711'), 404, 'NOT_FOUND');
  });

  it('refuses a query that cannot be meant, and other methods', async () => {
    for (const search of [
      '?group=%00',
      '?limit=0',
      '?limit=101',
      '?cursor=x',
      '?group=',
      '?grup=views',
      '?discarded=1',
      '?limit=1&limit=2',
    ]) {
      assertProblem(await list(search), 422, 'INVALID_REQUEST');
    }
    const { admin } = api.tokens;
    assertProblem(await api.http.delete(ROUTE).set(as(admin)), 405, 'METHOD_NOT_ALLOWED');
    assertProblem(await api.http.get(`${ROUTE}/1/redrive`).set(as(admin)), 405, 'METHOD_NOT_ALLOWED');
    assertProblem(await api.http.get(`${ROUTE}/1/discard`).set(as(admin)), 405, 'METHOD_NOT_ALLOWED');
  });

  it('is for administrators alone', async () => {
    await fileOne(api, 'a', 1);
    const { customer } = api.tokens;
    assertProblem(await api.http.get(ROUTE), 401, 'UNAUTHENTICATED');
    assertProblem(await api.http.get(ROUTE).set(as(customer)), 403, 'FORBIDDEN');
    assertProblem(await api.http.post(`${ROUTE}/1/redrive`).set(as(customer)), 403, 'FORBIDDEN');
    const asked = api.http.post(`${ROUTE}/1/discard`).set(as(customer)).send({ reason: 'mine' });
    assertProblem(await asked, 403, 'FORBIDDEN');
    assertProblem(await api.http.post(`${ROUTE}/1/discard`).send({ reason: 'mine' }), 401, 'UNAUTHENTICATED');
    assert.deepEqual(
      (await items()).map(({ state }) => state),
      ['FAILED'],
    );
  });

  it('says when its database is away, while the rest of the API serves and is ready', async () => {
    const admin = as(away.tokens.admin);
    const asked = [
      away.http.get(ROUTE).set(admin),
      away.http.post(`${ROUTE}/1/redrive`).set(admin),
      away.http.post(`${ROUTE}/1/discard`).set(admin).send({ reason: 'no use' }),
    ];
    for (const res of await Promise.all(asked)) {
      assertProblem(res, 503, 'TEMPORARILY_UNAVAILABLE');
      assert.equal(res.headers['retry-after'], '5');
    }
    assert.equal((await away.http.get('/v1/products')).status, 200);
    assert.equal((await away.http.get('/readyz')).status, 200);
  });
});

const fileOne = ({ bus }: OpenApi, aggregateId: string, version: number, group = 'views'): Promise<void> =>
  fileLetter({ bus }, group, deliveryOf(aggregateId, version), { reason: 'it failed', attempts: 3 });

function deliveryOf(aggregateId: string, aggregateVersion: number): { place: string; event: StoredEvent } {
  const event = {
    ...{ id: randomUUID(), type: 'UserUpdated', source: 'platform', aggregateType: 'user', aggregateId },
    ...{ aggregateVersion, envelope: { data: { email: EMAIL } } },
  };
  return { place: `log:${event.id}`, event };
}

function assertProblem(res: { status: number; text: string; body: unknown }, status: number, code: string): void {
  assert.equal(res.status, status, res.text);
  assert.equal((res.body as Item)['code'], code);
}
