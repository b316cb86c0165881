import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';

import type { EventData } from '../../events/catalogue.ts';
import { requestIdFor } from '../../events/ids.ts';
import { opened } from '../../events/personal-fields.ts';
import { personalKeysOf } from '../../events/personal-keys.ts';
import { signToken } from '../../infra/tokens.ts';
import { query } from '../support/databases.ts';
import { assertOutboxIsSound, eventsOf } from '../support/outbox.ts';
import { temporalServer } from '../support/servers.ts';
import { type OpenApi, openApi } from './open-api.ts';

/** `sub` of the administrator's token. */
const ADMIN = '100';
type Body = Readonly<Record<string, unknown>>;

describe('users over HTTP', function () {
  this.timeout(60_000);
  let api: OpenApi;
  before(async () => {
    api = await openApi((await temporalServer()).address);
  });
  after(() => api.close());

  const person = (changes: Body = {}): Body => {
    const name = randomUUID().slice(0, 8);
    return { username: `mina-${name}`, email: `mina-${name}@shop.test`, fullName: 'Mina Kim', ...changes };
  };
  const as = (token: string) => ({ Authorization: `Bearer ${token}` });
  const create = (body: Body, key: string = randomUUID(), token = api.tokens.admin) =>
    api.http
      .post('/v1/users')
      .set({ ...as(token), 'Idempotency-Key': key })
      .send(body);
  const change = (userId: unknown, body: Body, headers: Readonly<Record<string, string>> = {}) =>
    api.http
      .patch(`/v1/users/${String(userId)}`)
      .set({ ...as(api.tokens.admin), ...headers })
      .send(body);
  const made = async (changes: Body = {}) => {
    const res = await create(person(changes));
    assert.equal(res.status, 201, res.text);
    return res.body as Body;
  };
  const storedAbout = async (userId: unknown) => {
    await assertOutboxIsSound(api.adminUrl('platform'));
    return query<{ type: string; version: string; data: EventData<'UserUpdated'> }>(
      api.adminUrl('platform'),
      `select type, aggregate_version as version, envelope -> 'data' as data from outbox
       where aggregate_type = 'user' and aggregate_id = $1 order by id`,
      [userId],
    );
  };
  /** As who has the key reads them. */
  const eventsAbout = async (userId: unknown) => {
    const key = (await personalKeysOf(api.platform, [String(userId)])).get(String(userId));
    const rows = await storedAbout(userId);
    return rows.map(({ type, version, data }) => [type, Number(version), opened(key, data)] as const);
  };

  it('are made with their event, and shown with their version', async () => {
    const key = randomUUID();
    const body = person();
    const res = await create(body, key);
    assert.equal(res.status, 201, res.text);
    const user = res.body as Body;
    assert.deepEqual(user, { ...body, userId: user['userId'], status: 'ACTIVE', version: 1 });
    assert.deepEqual(
      [res.headers['location'], res.headers['etag'], res.headers['idempotent-replayed']],
      [`/v1/users/${String(user['userId'])}`, '"1"', undefined],
    );
    assert.deepEqual(await eventsAbout(user['userId']), [['UserCreated', 1, dataOf(user)]]);
    const caused = await eventsOf(api.adminUrl('platform'), requestIdFor('/v1/users', ADMIN, key));
    assert.deepEqual(
      caused.map(({ subject }) => subject),
      [user['userId']],
    );
  });

  it('are made once for each key, whatever happened to them since', async () => {
    const [key, body] = [randomUUID(), person()];
    const first = await create(body, key);
    await change((first.body as Body)['userId'], { fullName: 'Mina Park' });
    const again = await create({ ...body, status: 'ACTIVE' }, key);
    assert.deepEqual([again.status, again.headers['idempotent-replayed']], [201, 'true']);
    assert.deepEqual(again.body, first.body);

    const other = await create(person(), key);
    assert.deepEqual([other.status, (other.body as Body)['code']], [422, 'IDEMPOTENCY_KEY_REUSED']);
    const ofSomebodyElse = await create(person(), key, await tokenOfOtherAdmin());
    assert.equal(ofSomebodyElse.status, 201, 'keys belong to their caller');
  });

  const tokenOfOtherAdmin = () => signToken(api.config, { sub: '99', role: 'admin', expires: '5m' });

  it('are made once by the same request twenty times at the same moment', async () => {
    const [key, body] = [randomUUID(), person()];
    const answers = await Promise.all(Array.from({ length: 20 }, () => create(body, key)));
    assert.deepEqual([...new Set(answers.map(({ status }) => status))], [201]);
    const ids = new Set(answers.map((res) => (res.body as Body)['userId']));
    assert.equal(ids.size, 1);
    assert.equal(answers.filter(({ headers }) => headers['idempotent-replayed'] === undefined).length, 1);
    assert.equal((await eventsAbout([...ids][0])).length, 1);
  });

  it('never share a name or an address, not even when both are asked for at the same moment', async () => {
    const taken = await made();
    for (const [body, code] of [
      [person({ username: taken['username'] }), 'USERNAME_TAKEN'],
      [person({ email: String(taken['email']).toUpperCase() }), 'EMAIL_TAKEN'],
    ] as const) {
      const res = await create(body);
      assert.deepEqual([res.status, (res.body as Body)['code']], [409, code]);
    }
    const email = `race-${randomUUID()}@shop.test`;
    const racing = await Promise.all(Array.from({ length: 10 }, () => create(person({ email }))));
    assert.deepEqual(racing.map(({ status }) => status).sort(), [201, ...Array<number>(9).fill(409)]);

    const [one, other] = [await made(), await made()];
    const res = await change(one['userId'], { username: other['username'] });
    assert.deepEqual([res.status, (res.body as Body)['code']], [409, 'USERNAME_TAKEN']);
    assert.equal((await eventsAbout(one['userId'])).length, 1, 'a refused change leaves no event');
  });

  it('can use a key again whose request was refused, once it can be granted', async () => {
    const taken = await made();
    const [key, body] = [randomUUID(), person({ username: taken['username'] })];
    assert.equal((await create(body, key)).status, 409);
    await change(taken['userId'], { username: `was-${randomUUID().slice(0, 8)}` });
    assert.equal((await create(body, key)).status, 201);
  });

  it('are changed with an event of the next version, and only when something changes', async () => {
    const user = await made();
    const changed = await change(user['userId'], { fullName: 'Mina Park', status: 'INACTIVE' });
    assert.deepEqual([changed.status, changed.headers['etag']], [200, '"2"']);
    assert.deepEqual(changed.body, { ...user, fullName: 'Mina Park', status: 'INACTIVE', version: 2 });
    const again = await change(user['userId'], { fullName: 'Mina Park' });
    assert.deepEqual([again.status, again.body], [200, changed.body]);
    const events = await eventsAbout(user['userId']);
    assert.deepEqual(
      events.map(([type, version]) => [type, version]),
      [
        ['UserCreated', 1],
        ['UserUpdated', 2],
      ],
    );
    assert.deepEqual(events[1]?.[2], dataOf(changed.body as Body));
  });

  it('are not changed by somebody who has seen an older version', async () => {
    const user = await made();
    const first = await change(user['userId'], { fullName: 'First' }, { 'If-Match': '"1"' });
    assert.equal(first.status, 200, first.text);
    for (const tag of ['"1"', 'W/"2"', '"x"', '2']) {
      const late = await change(user['userId'], { fullName: 'Late' }, { 'If-Match': tag });
      assert.deepEqual([late.status, (late.body as Body)['code']], [412, 'VERSION_MISMATCH'], tag);
    }
    assert.equal((await change(user['userId'], { fullName: 'Second' }, { 'If-Match': '"1", "2"' })).status, 200);
    assert.equal((await change(user['userId'], { fullName: 'Third' }, { 'If-Match': '*' })).status, 200);
  });

  it('get gapless versions however many change them at once', async () => {
    const user = await made();
    const changes = await Promise.all(
      Array.from({ length: 15 }, (_, n) => change(user['userId'], { fullName: `Name ${n}` })),
    );
    assert.deepEqual([...new Set(changes.map(({ status }) => status))], [200]);
    const versions = (await eventsAbout(user['userId'])).map(([, version]) => version);
    assert.deepEqual(
      versions,
      Array.from({ length: 16 }, (_, n) => n + 1),
    );
  });

  it('are for administrators alone', async () => {
    const user = await made();
    assert.equal((await api.http.post('/v1/users').send(person())).status, 401);
    assert.equal((await create(person(), randomUUID(), api.tokens.customer)).status, 403);
    const path = `/v1/users/${String(user['userId'])}`;
    assert.equal((await api.http.patch(path).set(as(api.tokens.customer)).send({ fullName: 'x' })).status, 403);
  });

  it('are refused with every field that cannot be', async () => {
    for (const [pointer, body] of [
      ['/email', person({ email: 'no address' })],
      ['/email', person({ email: `${'x'.repeat(250)}@shop.test` })],
      ['/username', person({ username: 'a\u0000b' })],
      ['/username', person({ username: 'x'.repeat(51) })],
      ['/fullName', person({ fullName: ' ' })],
      ['/status', person({ status: 'ADMIN' })],
      ['/', person({ userId: '7' })],
      ['/', person({ version: 7 })],
    ] as const) {
      const res = await create(body);
      assert.equal(res.status, 422, res.text);
      const { errors } = res.body as { errors: { pointer: string }[] };
      assert.deepEqual([...new Set(errors.map((error) => error.pointer))], [pointer]);
    }
    const { userId } = await made();
    assert.equal((await change(userId, {})).status, 422);
    assert.equal((await change(userId, { version: 3 })).status, 422);
    assert.equal((await create(person(), '')).status, 400);
  });

  it('are not found when there are none, and have no other methods', async () => {
    for (const id of ['999999999', '0', 'x', '99999999999999999999']) {
      assert.equal((await change(id, { fullName: 'x' })).status, 404, id);
    }
    const get = await api.http.get('/v1/users/1').set(as(api.tokens.admin));
    assert.deepEqual([get.status, get.headers['allow']], [405, 'PATCH']);
  });

  it('have their personal fields in no event as they are, and are answered again from it as they were', async () => {
    const name = `secret-${randomUUID().slice(0, 8)}`;
    const [key, body] = [randomUUID(), person({ username: name, email: `${name}@shop.test`, fullName: 'Secret Name' })];
    const made = (await create(body, key)).body as Body;
    await change(made['userId'], { fullName: 'Secret Park' });
    const stored = await storedAbout(made['userId']);
    assert.equal(stored.length, 2);
    assert.doesNotMatch(JSON.stringify(stored), /secret/i);
    const again = await create(body, key);
    assert.deepEqual([again.headers['idempotent-replayed'], again.body], ['true', made]);
  });

  it('are never called what stands for somebody who was erased', async () => {
    const refused = async (fields: Body) => {
      const made = await create(person(fields));
      return [made.status, (made.body as Body)['code']];
    };
    assert.deepEqual(await refused({ username: 'erased-17' }), [409, 'USERNAME_TAKEN']);
    assert.deepEqual(await refused({ email: 'Erased-17@erased.invalid' }), [409, 'EMAIL_TAKEN']);
    const user = await made();
    const changed = await change(user['userId'], { username: 'erased-17' });
    assert.deepEqual([changed.status, (changed.body as Body)['code']], [409, 'USERNAME_TAKEN']);
  });
});

/** Of an event about this user. */
const dataOf = (user: Body): Body => Object.fromEntries(Object.entries(user).filter(([name]) => name !== 'version'));
