import assert from 'node:assert/strict';
import { setTimeout as sleep } from 'node:timers/promises';

import { type HandleEvents, SlowHandler } from '../../events/bus/bus.ts';
import { redriveLetter } from '../../events/bus/redrive.ts';
import { EVENT_TYPES, type EventTypeEntry } from '../../events/catalogue.ts';
import { readEvent } from '../../events/read-event.ts';
import type { StoredEvent } from '../../events/stored-event.ts';
import { type BusRun, type Contract, type Letter, Received } from '../support/bus.ts';
import { firstOnly, upTo } from '../support/events.ts';
import { eventually } from '../support/eventually.ts';
import { gate } from '../support/gate.ts';

const quiet = { onError: () => undefined };
const WAITS = 'waits behind an earlier event of its subject';
/** As the network layer says it, whatever the handler writes to. */
const OUTAGE = Object.assign(new Error('connect ECONNREFUSED 127.0.0.1:5432'), { code: 'ECONNREFUSED' });

/** What cannot be handled is kept, holds up its own subject only, and is tried again in its order when asked to. */
export function setsFailuresAside({ start }: Contract): void {
  it('sets an event aside that fails three times, with what follows in its subject, while others flow', async () => {
    const { run, bus, received } = start();
    let alone = 0;
    received.before = rejecting(run, 'a', 2, (batch) => (alone += Number(batch.length === 1)));
    await bus.subscribe(run.group(), received.handle, quiet);
    await bus.publish([...run.events('a', 1, 3), ...run.events('b', 1, 3)]);
    await received.until('b', 3);
    await untilLetters(run, 'a', 2);
    await bus.publish([run.event('a', 4), run.event('b', 4)]);
    await received.until('b', 4);
    await untilLetters(run, 'a', 3);

    assert.deepEqual(await lettersOf(run, 'a'), [
      { version: 2, attempts: 3, error: 'version 2 is refused', redriven: false },
      { version: 3, attempts: 0, error: WAITS, redriven: false },
      { version: 4, attempts: 0, error: WAITS, redriven: false },
    ]);
    assert.deepEqual(firstOnly(received.versions('a')), [1]);
    assert.deepEqual(firstOnly(received.versions('b')), upTo(4));
    assert.ok(alone >= 3, `it was tried ${alone} times by itself`);
    assert.deepEqual(await run.letters(run.group(), 'b'), []);
  });

  it('handles letters that are redriven in their order, before later events of the subject', async () => {
    const { run, bus, received } = start();
    received.before = rejecting(run, 'a', 2);
    await bus.subscribe(run.group(), received.handle, { ...quiet, attempts: 1 });
    await bus.publish(run.events('a', 1, 30));
    await untilLetters(run, 'a', 29);

    received.before = () => sleep(2); // so that fresh events meet letters that are being handled
    const redriven = await redriveLetter({ bus: run.database }, await idOf(run, 'a', 3));
    assert.deepEqual(redriven, { result: 'REDRIVEN', group: run.group(), subject: run.subject('a'), letters: 29 });
    for (let version = 31; version <= 60; version++) await bus.publish([run.event('a', version)]);
    await received.until('a', 60);
    assert.deepEqual(firstOnly(received.versions('a')), upTo(60));
    await untilLetters(run, 'a', 0);
  });

  it('keeps a letter that fails again after a redrive, and tries nothing behind it', async () => {
    const { run, bus, received } = start();
    received.before = rejecting(run, 'a', 2);
    await bus.subscribe(run.group(), received.handle, quiet);
    await bus.publish(run.events('a', 1, 3));
    await untilLetters(run, 'a', 2);
    await redriveLetter({ bus: run.database }, await idOf(run, 'a', 2));
    await eventually('the letter has failed again', async () =>
      (await run.letters(run.group(), 'a'))[0]?.attempts === 6 ? true : undefined,
    );
    assert.deepEqual(await lettersOf(run, 'a'), [
      { version: 2, attempts: 6, error: 'version 2 is refused', redriven: false },
      { version: 3, attempts: 0, error: WAITS, redriven: false },
    ]);
    assert.deepEqual(firstOnly(received.versions('a')), [1]);
  });

  it('says of a letter that it is unknown, or was redriven already', async () => {
    const { run, bus, received } = start();
    received.before = rejecting(run, 'a', 1);
    const subscription = await bus.subscribe(run.group(), received.handle, { ...quiet, attempts: 1 });
    await bus.publish(run.events('a', 1, 1));
    await untilLetters(run, 'a', 1);
    await subscription.stop();

    const deps = { bus: run.database };
    const id = await idOf(run, 'a', 1);
    assert.deepEqual(await redriveLetter(deps, '9223372036854775807'), { result: 'UNKNOWN' });
    assert.equal((await redriveLetter(deps, id)).result, 'REDRIVEN');
    assert.equal((await redriveLetter(deps, id)).result, 'ALREADY_REDRIVEN');

    received.before = () => Promise.resolve();
    await bus.subscribe(run.group(), received.handle);
    await received.until('a', 1);
    await untilLetters(run, 'a', 0);
    assert.deepEqual(await redriveLetter(deps, id), { result: 'UNKNOWN' });
  });

  it('sets poison aside without trying it again, until a release can read it', async () => {
    const { run, bus, received } = start();
    let release: Readonly<Record<string, EventTypeEntry>> = EVENT_TYPES;
    received.before = (batch) => {
      batch.forEach((event) => readEvent(event, release));
      return Promise.resolve();
    };
    await bus.subscribe(run.group(), received.handle, quiet);
    const poison = { type: unknownType, schema: newerVersion, envelope: brokenEnvelope };
    await bus.publish([
      ...Object.entries(poison).flatMap(([name, spoil]) => [spoil(run.event(name, 1)), run.event(name, 2)]),
      ...run.events('healthy', 1, 3),
    ]);
    await received.until('healthy', 3);
    const reasons = { type: /the type is not known here/, schema: /it has version 99/, envelope: /cannot be read/ };
    for (const name of ['type', 'schema', 'envelope'] as const) {
      await untilLetters(run, name, 2);
      const [poisoned, behind] = await run.letters(run.group(), name);
      assert.match(poisoned?.error ?? '', reasons[name]);
      assert.deepEqual([poisoned?.attempts, behind?.attempts, behind?.error], [1, 0, WAITS]);
      assert.deepEqual(received.versions(name), []);
    }

    release = { ...EVENT_TYPES, NotYetKnown: EVENT_TYPES.InventoryReserved };
    await redriveLetter({ bus: run.database }, await idOf(run, 'type', 1));
    await received.until('type', 2);
    assert.deepEqual(received.versions('type'), [1, 2]);
    await untilLetters(run, 'type', 0);
    await untilLetters(run, 'schema', 2);
  });

  it('keeps the letters of each group apart', async () => {
    const { run, bus, received } = start();
    const other = new Received(run);
    received.before = rejecting(run, 'a', 1);
    await bus.subscribe(run.group(), received.handle, quiet);
    await bus.subscribe(run.group('other'), other.handle);
    await bus.publish(run.events('a', 1, 3));
    await other.until('a', 3);
    await untilLetters(run, 'a', 3);
    assert.deepEqual(await run.letters(run.group('other'), 'a'), []);
    assert.deepEqual(received.versions('a'), []);
  });

  it('waits out an outage of what the handler writes to, and sets nothing aside', async () => {
    const { run, bus, received } = start();
    let failures = 0;
    received.before = () => (failures++ < 7 ? Promise.reject(OUTAGE) : Promise.resolve());
    await bus.subscribe(run.group(), received.handle, quiet);
    await bus.publish(run.events('a', 1, 2));
    await received.until('a', 2);
    assert.deepEqual(firstOnly(received.versions('a')), [1, 2]);
    assert.deepEqual(await run.letters(run.group(), 'a'), []);
  });

  it('stops while an outage lasts, and brings the event again after a restart', async () => {
    const { run, bus, received } = start();
    let failures = 0;
    received.before = () => {
      failures += 1;
      return Promise.reject(OUTAGE);
    };
    const subscription = await bus.subscribe(run.group(), received.handle, quiet);
    await bus.publish(run.events('a', 1, 3));
    await eventually('it has failed', () => Promise.resolve(failures > 3 ? true : undefined));
    await subscription.stop();
    assert.deepEqual(received.versions('a'), []);

    received.before = () => Promise.resolve();
    await bus.subscribe(run.group(), received.handle);
    await received.until('a', 3);
    assert.deepEqual(firstOnly(received.versions('a')), upTo(3));
    assert.deepEqual(await run.letters(run.group(), 'a'), []);
  });

  it('tells the subscriber of a handler that does not end, takes nothing from it, and goes on when it does', async () => {
    const { run, bus, received } = start();
    const errors: unknown[] = [];
    const hanging = gate();
    received.before = () => hanging.passed;
    const onError = (error: unknown): unknown => errors.push(error);
    const subscription = await bus.subscribe(run.group(), received.handle, { slowMs: 300, onError });
    await bus.publish(run.events('a', 1, 2));
    await eventually('it is told twice', () => Promise.resolve(errors.length >= 2 || undefined));
    assert.ok(errors[1] instanceof SlowHandler);
    assert.match(
      errors[1].message,
      /^the handler of .+ has not ended after 0\.\d s with [12] events, the first of them /,
    );
    hanging.open();
    await received.until('a', 2);
    await subscription.stop();
    assert.deepEqual(received.versions('a'), [1, 2]);
    assert.deepEqual(await run.letters(run.group(), 'a'), []);
    assert.ok(errors.every((error) => error instanceof SlowHandler));
  });

  it('tells the subscriber each error', async () => {
    const { run, bus, received } = start();
    const errors: unknown[] = [];
    received.before = rejecting(run, 'a', 1);
    await bus.subscribe(run.group(), received.handle, { attempts: 2, onError: (error) => errors.push(error) });
    await bus.publish(run.events('a', 1, 1));
    await untilLetters(run, 'a', 1);
    // One more where it was first tried together with events of others.
    assert.ok(errors.length === 2 || errors.length === 3, `${errors.length} errors`);
    for (const error of errors) assert.equal((error as Error).message, 'version 1 is refused');
  });
}

/** A handler that cannot handle one version of one subject. */
const rejecting =
  (run: BusRun, name: string, version: number, seen: HandleBatch = () => undefined): HandleEvents =>
  (batch) => {
    const { aggregateId } = run.event(name, version);
    if (!batch.some((event) => event.aggregateId === aggregateId && event.aggregateVersion === version)) {
      return Promise.resolve();
    }
    seen(batch);
    return Promise.reject(new Error(`version ${version} is refused`));
  };
type HandleBatch = (batch: readonly StoredEvent[]) => void;

const untilLetters = (run: BusRun, name: string, count: number): Promise<true> =>
  eventually(`${name} has ${count} dead letters`, async () =>
    (await run.letters(run.group(), name)).length === count ? true : undefined,
  );

async function lettersOf(run: BusRun, name: string): Promise<Omit<Letter, 'id' | 'discarded'>[]> {
  const letters = await run.letters(run.group(), name);
  return letters.map(({ version, attempts, error, redriven }) => ({ version, attempts, error, redriven }));
}

async function idOf(run: BusRun, name: string, version: number): Promise<string> {
  const letter = (await run.letters(run.group(), name)).find((one) => one.version === version);
  assert.ok(letter, `version ${version} of ${name} is no dead letter`);
  return letter.id;
}

const unknownType = (event: StoredEvent): StoredEvent => ({
  ...event,
  type: 'NotYetKnown',
  envelope: { ...event.envelope, type: 'NotYetKnown', dataschema: 'urn:commerce-saga:event:NotYetKnown:v1' },
});
const newerVersion = (event: StoredEvent): StoredEvent => ({
  ...event,
  envelope: { ...event.envelope, dataschema: 'urn:commerce-saga:event:InventoryReserved:v99' },
});
/** Still an object, for a bus that knows an event by its envelope alone. */
const brokenEnvelope = (event: StoredEvent): StoredEvent => ({ ...event, envelope: { id: event.id, data: [] } });
