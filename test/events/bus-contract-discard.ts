import assert from 'node:assert/strict';

import type { HandleEvents } from '../../events/bus/bus.ts';
import { discardLetter } from '../../events/bus/discard.ts';
import { listLetters, redriveLetter } from '../../events/bus/redrive.ts';
import { type BusRun, type Contract, Received } from '../support/bus.ts';
import { firstOnly } from '../support/events.ts';
import { eventually } from '../support/eventually.ts';

const quiet = { attempts: 1, onError: () => undefined };
const WHY = { by: 'mina', reason: 'its product was never sold' };

/** What nobody will ever be able to handle can be given up, by a person and on record; nothing waits behind it then. */
export function givesUp({ start }: Contract): void {
  it('gives an event up on record, and hands on what waited behind it in order, before later events', async () => {
    const { run, bus, received } = start();
    received.before = refusing(run, 'a', 2);
    await bus.subscribe(run.group(), received.handle, quiet);
    await bus.publish(run.events('a', 1, 20));
    await untilOpen(run, 'a', 19);

    const deps = { bus: run.database };
    const id = await idOf(run, 'a', 2);
    const given = await discardLetter(deps, id, WHY);
    assert.deepEqual(given, { result: 'DISCARDED', group: run.group(), subject: run.subject('a'), redriven: 18 });
    for (let version = 21; version <= 30; version++) await bus.publish([run.event('a', version)]);
    await received.until('a', 29);
    await untilOpen(run, 'a', 0);
    const handled = firstOnly(received.versions('a'));
    assert.deepEqual(
      handled,
      Array.from({ length: 30 }, (_, index) => index + 1).filter((version) => version !== 2),
    );

    const [letter, ...others] = await listLetters(deps, { group: run.group(), discarded: true, limit: 10 });
    assert.deepEqual(others, []);
    assert.deepEqual(
      [
        letter?.id,
        letter?.state,
        letter?.aggregateVersion,
        letter?.error,
        letter?.discarded?.by,
        letter?.discarded?.reason,
      ],
      [id, 'DISCARDED', 2, 'version 2 is refused', WHY.by, WHY.reason],
    );
    assert.ok(Math.abs(Date.now() - Date.parse(letter?.discarded?.at ?? '')) < 60_000);
    assert.deepEqual(await listLetters(deps, { group: run.group(), limit: 10 }), []);
  });

  it('never hands on again what was given up, though the bus delivers it once more', async () => {
    const { run, bus, received } = start();
    received.before = refusing(run, 'a', 1);
    await bus.subscribe(run.group(), received.handle, quiet);
    // The second copy is a letter of its own, which waits behind the first: it is given up with it.
    const poison = run.event('a', 1);
    await bus.publish([poison, poison, run.event('a', 2)]);
    await untilOpen(run, 'a', 3);
    await discardLetter({ bus: run.database }, await idOf(run, 'a', 1), WHY);
    await received.until('a', 1);

    received.before = () => Promise.resolve(); // nothing but the record keeps it from being handled now
    await bus.publish([poison, run.event('a', 3)]);
    await received.until('a', 2);
    assert.deepEqual(firstOnly(received.versions('a')), [2, 3]);
    await untilOpen(run, 'a', 0);
    assert.equal((await run.letters(run.group(), 'a')).length, 2);
  });

  it('gives an event up for its own group alone', async () => {
    const { run, bus, received } = start();
    const other = new Received(run);
    received.before = refusing(run, 'a', 1);
    other.before = refusing(run, 'a', 1);
    await bus.subscribe(run.group(), received.handle, quiet);
    await bus.subscribe(run.group('other'), other.handle, quiet);
    await bus.publish(run.events('a', 1, 2));
    await untilOpen(run, 'a', 2);
    await untilOpen(run, 'a', 2, run.group('other'));
    await discardLetter({ bus: run.database }, await idOf(run, 'a', 1), WHY);
    await received.until('a', 1);
    assert.deepEqual(firstOnly(received.versions('a')), [2]);
    await untilOpen(run, 'a', 0);
    await untilOpen(run, 'a', 2, run.group('other'));
    assert.deepEqual(other.versions('a'), []);
  });

  it('sets aside the next one that cannot be handled, which can be given up in turn', async () => {
    const { run, bus, received } = start();
    const first = refusing(run, 'a', 1);
    const third = refusing(run, 'a', 3);
    received.before = (batch) => first(batch).then(() => third(batch));
    await bus.subscribe(run.group(), received.handle, quiet);
    await bus.publish(run.events('a', 1, 4));
    await untilOpen(run, 'a', 4);
    const deps = { bus: run.database };
    await discardLetter(deps, await idOf(run, 'a', 1), WHY);
    await received.until('a', 1);
    await eventually('version 3 has failed', async () =>
      (await openLetters(run, 'a'))[0]?.error === 'version 3 is refused' ? true : undefined,
    );
    assert.deepEqual(firstOnly(received.versions('a')), [2]);
    assert.equal((await discardLetter(deps, await idOf(run, 'a', 3), WHY)).result, 'DISCARDED');
    await untilOpen(run, 'a', 0);
    assert.deepEqual(firstOnly(received.versions('a')), [2, 4]);
  });

  it('refuses what is given up already, was never tried, was redriven, or is unknown', async () => {
    const { run, bus, received } = start();
    received.before = refusing(run, 'a', 1);
    const subscription = await bus.subscribe(run.group(), received.handle, quiet);
    await bus.publish(run.events('a', 1, 3));
    await untilOpen(run, 'a', 3);
    await subscription.stop();

    const deps = { bus: run.database };
    const of = { group: run.group(), subject: run.subject('a') };
    const [first, second] = [await idOf(run, 'a', 1), await idOf(run, 'a', 2)];
    assert.deepEqual(await discardLetter(deps, second, WHY), { result: 'NOT_TRIED', ...of });
    assert.deepEqual(await discardLetter(deps, '9223372036854775807', WHY), { result: 'UNKNOWN' });
    assert.deepEqual(await discardLetter(deps, first, WHY), { result: 'DISCARDED', ...of, redriven: 2 });
    assert.deepEqual(await discardLetter(deps, first, { by: 'jun', reason: 'again' }), {
      ...{ result: 'ALREADY_DISCARDED', ...of },
    });
    assert.deepEqual(await redriveLetter(deps, first), { result: 'ALREADY_DISCARDED', ...of });
    assert.deepEqual(await discardLetter(deps, second, WHY), { result: 'ALREADY_REDRIVEN', ...of });
    const [letter] = await listLetters(deps, { group: run.group(), discarded: true, limit: 1 });
    assert.deepEqual(letter?.discarded?.by, WHY.by);

    await bus.subscribe(run.group(), received.handle, quiet);
    await received.until('a', 2);
    assert.deepEqual(firstOnly(received.versions('a')), [2, 3]);
  });

  it('gives up once, however many ask at the same time', async () => {
    const { run, bus, received } = start();
    received.before = refusing(run, 'a', 1);
    await bus.subscribe(run.group(), received.handle, quiet);
    await bus.publish(run.events('a', 1, 1));
    await untilOpen(run, 'a', 1);
    const id = await idOf(run, 'a', 1);
    const asked = Array.from({ length: 5 }, (_, n) =>
      discardLetter({ bus: run.database }, id, { by: `operator ${n}`, reason: 'no use' }),
    );
    const results = (await Promise.all(asked)).map(({ result }) => result).sort();
    assert.deepEqual(results, [...Array<string>(4).fill('ALREADY_DISCARDED'), 'DISCARDED']);
  });
}

/** A handler that cannot handle one version of one subject. */
const refusing =
  (run: BusRun, name: string, version: number): HandleEvents =>
  (batch) => {
    const { aggregateId } = run.event(name, version);
    return batch.some((event) => event.aggregateId === aggregateId && event.aggregateVersion === version)
      ? Promise.reject(new Error(`version ${version} is refused`))
      : Promise.resolve();
  };

const openLetters = async (run: BusRun, name: string, group = run.group()) =>
  (await run.letters(group, name)).filter(({ discarded }) => !discarded);

const untilOpen = (run: BusRun, name: string, count: number, group = run.group()): Promise<true> =>
  eventually(`${count} dead letters of ${name} wait for somebody`, async () =>
    (await openLetters(run, name, group)).length === count ? true : undefined,
  );

async function idOf(run: BusRun, name: string, version: number): Promise<string> {
  const letter = (await openLetters(run, name)).find((one) => one.version === version);
  assert.ok(letter, `version ${version} of ${name} is no dead letter`);
  return letter.id;
}
