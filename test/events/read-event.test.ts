import assert from 'node:assert/strict';

import { z } from 'zod';

import { EVENT_TYPES, type EventData, type EventTypeEntry } from '../../events/catalogue.ts';
import { shopEvent } from '../../events/outbox.ts';
import { readEvent, UnknownEvent } from '../../events/read-event.ts';
import type { StoredEvent } from '../../events/stored-event.ts';
import { olderVersion } from '../../events/upcast.ts';

const USER: EventData<'UserCreated'> = {
  ...{ userId: '7', username: 'mina', email: 'mina@shop.test', fullName: 'Mina Kim', status: 'ACTIVE' },
};
const TIME = '2026-11-23T01:02:03.456789Z';

/** As an outbox or the bus hands it out. */
function stored(changes: Partial<StoredEvent> = {}, inside: object = {}): StoredEvent {
  const event = shopEvent('UserCreated', '7', 1, 'seed', USER);
  return {
    ...{ id: event.id, type: event.type, source: 'platform', aggregateType: 'user', aggregateId: '7' },
    aggregateVersion: 1,
    envelope: { ...event, time: TIME, ...inside },
    ...changes,
  };
}

describe('reading a stored event', () => {
  it('gives the event as it was made, with the time of the database', () => {
    const event = shopEvent('UserCreated', '7', 1, 'seed', USER);
    assert.deepEqual(readEvent(stored()), { ...event, time: TIME });
  });

  it('keeps the trace that it belongs to and drops what somebody on the way has added', () => {
    const traceparent = '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01';
    const event = readEvent(stored({}, { traceparent, knativearrivaltime: TIME }));
    assert.deepEqual([event.traceparent, 'knativearrivaltime' in event], [traceparent, false]);
  });

  for (const [what, event, reason] of [
    ['a type that is not in the catalogue', stored({ type: 'UserPromoted' }, { type: 'UserPromoted' }), /not known/],
    ['a type that every object has', stored({ type: 'constructor' }, { type: 'constructor' }), /not known/],
    [
      'a version newer than ours',
      stored({}, { dataschema: 'urn:commerce-saga:event:UserCreated:v2' }),
      /version 2, and/,
    ],
    ['a schema of another type', stored({}, { dataschema: 'urn:commerce-saga:event:UserUpdated:v1' }), /dataschema/],
    ['version 0', stored({}, { dataschema: 'urn:commerce-saga:event:UserCreated:v0' }), /dataschema/],
    ['data that lack a fact', stored({}, { data: { ...USER, status: undefined } }), /not those of version 1: status/],
    ['data with a fact too many', stored({}, { data: { ...USER, phone: '1' } }), /unrecognized_keys/],
    ['no data at all', stored({}, { data: null }), /not those of version 1/],
    ['another subject than its row', stored({ aggregateId: '8' }), /not what it says it is in subject/],
    ['another version than its row', stored({ aggregateVersion: 2 }), /in aggregateVersion/],
    ['another id than its row', stored({ id: '00000000-0000-4000-8000-000000000000' }), /in id/],
    ['the source of another service', stored({ source: 'order' }), /in source/],
    ['a time that is none', stored({}, { time: 'yesterday' }), /cannot be read: time/],
    ['an aggregate version of 0', stored({}, { aggregateVersion: 0 }), /cannot be read: aggregateVersion/],
    ['an envelope that is empty', stored({ envelope: {} }), /cannot be read: specversion/],
  ] as const) {
    it(`refuses ${what}, and says why`, () => {
      assert.throws(
        () => readEvent(event),
        (error) => error instanceof UnknownEvent && reason.test(error.message),
      );
    });
  }

  it('names fields in its refusal, never what they hold: they may be personal', () => {
    const secret = 'mina@shop.test';
    const event = stored({}, { data: { ...USER, email: 5, fullName: { secret }, [secret.repeat(3)]: secret } });
    assert.throws(
      () => readEvent(event),
      (error) => error instanceof UnknownEvent && !error.message.includes('mina'),
    );
  });
});

/** UserCreated with a past: version 1 had one name, version 2 two, version 3 has both and a status. */
const first = z.strictObject({ userId: z.string(), name: z.string() });
const second = z.strictObject({ userId: z.string(), username: z.string(), fullName: z.string() });
const third = z.strictObject({ userId: z.string(), username: z.string(), fullName: z.string(), status: z.string() });
const WITH_A_PAST: Readonly<Record<string, EventTypeEntry>> = {
  UserCreated: {
    ...{ source: 'platform', aggregate: 'user', version: 3, data: third },
    older: [
      olderVersion(first, ({ userId, name }) => ({ userId, username: name, fullName: name })),
      olderVersion(second, (data) => ({ ...data, status: 'UNKNOWN' })),
    ],
  },
};
const versionOf = (version: number, data: object) =>
  stored({}, { dataschema: `urn:commerce-saga:event:UserCreated:v${version}`, data });

describe('an event of an older version', () => {
  const NEWEST = { userId: '7', username: 'mina', fullName: 'Mina Kim', status: 'ACTIVE' };

  for (const [version, data, expected] of [
    [1, { userId: '7', name: 'mina' }, { ...NEWEST, fullName: 'mina', status: 'UNKNOWN' }],
    [2, { userId: '7', username: 'mina', fullName: 'Mina Kim' }, { ...NEWEST, status: 'UNKNOWN' }],
    [3, NEWEST, NEWEST],
  ] as const) {
    it(`is read as the newest, from version ${version} on`, () => {
      const event = readEvent(versionOf(version, data), WITH_A_PAST);
      assert.deepEqual(event.data, expected);
      assert.equal(event.dataschema, 'urn:commerce-saga:event:UserCreated:v3');
    });
  }

  it('is held to its own version, not to the newest', () => {
    assert.throws(() => readEvent(versionOf(1, NEWEST), WITH_A_PAST), /not those of version 1/);
    assert.throws(() => readEvent(versionOf(4, NEWEST), WITH_A_PAST), /newest known here is 3/);
  });

  it('stops the reader when the code knows no way from it to the newest: that is a defect, not a bad event', () => {
    const entry = { source: 'platform', aggregate: 'user', version: 2, data: second } as const;
    assert.throws(() => readEvent(versionOf(1, {}), { UserCreated: entry }), RangeError);
  });

  it('has a way to the newest, for every type of the catalogue', () => {
    const entries: Readonly<Record<string, EventTypeEntry>> = EVENT_TYPES;
    for (const [type, { version, older = [] }] of Object.entries(entries)) {
      assert.equal(older.length, version - 1, type);
    }
  });
});
