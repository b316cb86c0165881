import assert from 'node:assert/strict';

import { EVENT_TYPES, type EventData } from '../../events/catalogue.ts';
import { shopEvent } from '../../events/outbox.ts';
import { PERSONAL_FIELDS, type PersonalCipher, PLAIN, revealed, sealed } from '../../events/personal-fields.ts';
import { readEvent } from '../../events/read-event.ts';

const USER: EventData<'UserCreated'> = {
  ...{ userId: '7', username: 'mina', email: 'mina@shop.test', fullName: 'Mina Kim', status: 'ACTIVE' },
};

/** Every field under a key of its user: letters reversed, the user's id in front. */
const KEYED: PersonalCipher = {
  seal: (userId, fields) => Promise.resolve(each(fields, (text) => `${userId}:${reversed(text)}`)),
  open: (userId, fields) =>
    Promise.resolve(
      each(fields, (text) => (text.startsWith(`${userId}:`) ? reversed(text.slice(userId.length + 1)) : '')),
    ),
};

const each = (fields: Readonly<Record<string, string>>, change: (text: string) => string) =>
  Object.fromEntries(Object.entries(fields).map(([name, text]) => [name, change(text)]));
const reversed = (text: string): string => [...text].reverse().join('');

function asRead(data: EventData<'UserUpdated'>) {
  const event = shopEvent('UserUpdated', data.userId, 2, 'seed', data);
  const { id, type, aggregateType, subject, aggregateVersion } = event;
  const envelope = { ...event, time: '2026-11-23T01:02:03Z' };
  return readEvent({ id, type, source: 'platform', aggregateType, aggregateId: subject, aggregateVersion, envelope });
}

describe('personal fields of events', () => {
  it('are stored under the key of the person, and nothing else is', async () => {
    const data = await sealed(KEYED, 'UserUpdated', USER);
    assert.deepEqual(data, {
      ...{ userId: '7', username: '7:anim', email: '7:tset.pohs@anim', fullName: '7:miK aniM', status: 'ACTIVE' },
    });
    assert.doesNotMatch(JSON.stringify(asRead(data)), /mina|Mina/);
  });

  it('come back as they were for who has the key', async () => {
    const event = asRead(await sealed(KEYED, 'UserUpdated', USER));
    assert.deepEqual((await revealed(KEYED, event)).data, USER);
  });

  it('are named for every type whose data tell who somebody is', () => {
    const telling = ['username', 'email', 'fullName', 'phone', 'address'];
    for (const [type, { data }] of Object.entries(EVENT_TYPES)) {
      const fields: readonly string[] = PERSONAL_FIELDS[type as keyof typeof PERSONAL_FIELDS] ?? [];
      const named = Object.keys(data.shape).filter((name) => telling.includes(name));
      assert.deepEqual([...fields].sort(), named.sort(), type);
    }
  });

  it('stay readable as long as nobody has a key, and events without any are left alone', async () => {
    assert.deepEqual(await sealed(PLAIN, 'UserCreated', USER), USER);
    const event = asRead(USER);
    assert.deepEqual(await revealed(PLAIN, event), event);
  });
});
