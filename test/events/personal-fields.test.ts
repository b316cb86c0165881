import assert from 'node:assert/strict';

import { EVENT_TYPES, type EventData } from '../../events/catalogue.ts';
import { shopEvent } from '../../events/outbox.ts';
import { opened, PERSONAL_FIELDS, sealed } from '../../events/personal-fields.ts';
import { readEvent } from '../../events/read-event.ts';
import { isPlaceholder, newPersonalKey, PERSONAL_NAMES, placeholdersOf } from '../../infra/personal-seal.ts';

const USER: EventData<'UserCreated'> = {
  ...{ userId: '7', username: 'mina', email: 'mina@shop.test', fullName: '김미나', status: 'ACTIVE' },
};
const ERASED = { ...USER, ...placeholdersOf('7') };
const KEY = newPersonalKey();

function asRead(data: EventData<'UserUpdated'>) {
  const event = shopEvent('UserUpdated', data.userId, 2, 'seed', data);
  const { id, type, aggregateType, subject, aggregateVersion } = event;
  const envelope = { ...event, time: '2026-11-23T01:02:03Z' };
  return readEvent({ id, type, source: 'platform', aggregateType, aggregateId: subject, aggregateVersion, envelope });
}

describe('personal fields of events', () => {
  it('are stored sealed, and nothing else is', () => {
    const data = sealed(KEY, USER);
    assert.deepEqual([data.userId, data.status], ['7', 'ACTIVE']);
    for (const name of PERSONAL_NAMES) assert.match(data[name], /^sealed:v1:[\w-]{80}$/);
    const bytes = PERSONAL_NAMES.map((name) => Buffer.from(data[name].slice('sealed:v1:'.length), 'base64url'));
    assert.doesNotMatch(JSON.stringify(asRead(data)) + bytes.join(), /mina|김/i);
  });

  it('come back as they were for who has the key', () => {
    const event = asRead(sealed(KEY, USER));
    assert.equal(event.type, 'UserUpdated');
    assert.deepEqual(event.type === 'UserUpdated' && opened(KEY, event.data), USER);
    for (const fullName of ['', ' ', 'sealed:v1:', 'x'.repeat(32), '가'.repeat(100), '👩‍👩‍👧', 'a"\\\n']) {
      assert.equal(opened(KEY, sealed(KEY, { ...USER, fullName })).fullName, fullName);
    }
  });

  it('never look the same twice, and do not tell how long a name is', () => {
    const [one, other] = [sealed(KEY, USER), sealed(KEY, USER)];
    for (const name of PERSONAL_NAMES) assert.notEqual(one[name], other[name]);
    assert.equal(
      one.fullName.length,
      sealed(KEY, { ...USER, fullName: 'A much longer name than hers' }).fullName.length,
    );
  });

  it('are placeholders for who has no key, or that of somebody else', () => {
    for (const key of [null, undefined, newPersonalKey()]) assert.deepEqual(opened(key, sealed(KEY, USER)), ERASED);
    assert.deepEqual(sealed(null, USER), ERASED);
    assert.deepEqual(opened(KEY, ERASED), ERASED);
  });

  it('are placeholders when they were damaged, cut, or put in the place of another field or person', () => {
    const data = sealed(KEY, USER);
    const { username, email } = data;
    const damaged = username.slice(0, -1) + (username.endsWith('A') ? 'B' : 'A');
    const middle = `${username.slice(0, 40)}${username[40] === 'A' ? 'B' : 'A'}${username.slice(41)}`;
    for (const text of [damaged, middle, email, username.slice(0, 30), 'sealed:v1:', 'sealed:v2:', 'mina', '']) {
      assert.equal(opened(KEY, { ...data, username: text }).username, 'erased-7', text);
    }
    assert.deepEqual(opened(KEY, { ...data, userId: '8' }), { ...USER, userId: '8', ...placeholdersOf('8') });
  });

  it('are named for every type whose data tell who somebody is', () => {
    const telling = ['username', 'email', 'fullName', 'phone', 'address'];
    for (const [type, { data }] of Object.entries(EVENT_TYPES)) {
      const fields: readonly string[] = PERSONAL_FIELDS[type as keyof typeof PERSONAL_FIELDS] ?? [];
      const named = Object.keys(data.shape).filter((name) => telling.includes(name));
      assert.deepEqual([...fields].sort(), named.sort(), type);
    }
  });

  it('have placeholders that nobody else may be called, each person their own', () => {
    const { username, email, fullName } = placeholdersOf('7');
    assert.ok(isPlaceholder('username', username) && isPlaceholder('email', email));
    assert.ok(isPlaceholder('username', username.toUpperCase()));
    assert.notEqual(placeholdersOf('8').username, username);
    for (const free of ['erased', 'erased-x', 'mina', 'erased-7@shop.test', 'un-erased-7']) {
      assert.equal(isPlaceholder('username', free), false, free);
    }
    assert.equal(isPlaceholder('fullName', fullName), false, 'names need not be unique');
  });
});
