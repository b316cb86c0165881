import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { pino } from 'pino';

import { openEmbeddedBus } from '../../events/bus/embedded.ts';
import type { ListedLetter } from '../../events/bus/redrive.ts';
import type { StoredEvent } from '../../events/stored-event.ts';
import { inheritedEnvironment } from '../../infra/inherited-environment.ts';
import { type Ended, runEntry } from '../support/commands.ts';
import { freshDatabases, type TestDatabases } from '../support/databases.ts';
import { eventually } from '../support/eventually.ts';

const LIMIT_MS = 30_000;

describe('npm run events:dead-letters', function () {
  this.timeout(4 * LIMIT_MS);
  let databases: TestDatabases;
  let folder: string;
  before(async () => {
    folder = await mkdtemp(join(tmpdir(), 'commerce-saga-dead-letters-'));
    databases = await freshDatabases();
  });
  after(async () => {
    await databases.drop();
    await rm(folder, { recursive: true, force: true });
  });

  const command = (args: readonly string[], changes: Readonly<Record<string, string>> = {}): Promise<Ended> => {
    const settings = { DATA_DIR: folder, BUS_DATABASE_URL: databases.urls.bus };
    return runEntry('cli/dead-letters.ts', args, { ...inheritedEnvironment(), ...settings, ...changes }, LIMIT_MS);
  };
  const listed = async (...args: string[]): Promise<ListedLetter[]> =>
    JSON.parse((await command(['list', '--json', ...args])).stdout) as ListedLetter[];

  it('says that there are none', async () => {
    assert.deepEqual(await command([]), { code: 0, stdout: 'dead letters: none\n', stderr: '' });
    const nothing = await command(['redrive', '--all']);
    assert.deepEqual([nothing.code, nothing.stdout], [0, 'dead letters: nothing to redrive\n']);
  });

  it('shows a poison event and what waits behind it, and has them handled once their consumer can', async () => {
    const bus = openEmbeddedBus({ url: databases.urls.bus, poolSize: 3, log: pino({ level: 'silent' }) });
    try {
      const handled: string[] = [];
      let broken = true;
      const handle = (batch: readonly StoredEvent[]): Promise<void> => {
        if (broken && batch.some(({ aggregateId }) => aggregateId !== 'good')) {
          return Promise.reject(new Error('a column\nis \u001b[31mmissing'));
        }
        handled.push(...batch.map(({ aggregateId, aggregateVersion }) => `${aggregateId} ${aggregateVersion}`));
        return Promise.resolve();
      };
      await bus.subscribe('views', handle, { attempts: 1, onError: () => undefined });
      await bus.publish([event('a', 1), event('a', 2), event('b', 1), event('good', 1)]);
      await eventually('all are filed', async () => ((await listed()).length === 3 ? true : undefined));

      const report = await command([]);
      assert.equal(report.code, 1);
      assert.match(report.stdout, /^id +group +state +subject +version +type +attempts +failed at +reason$/m);
      assert.match(report.stdout, /^1 +views +FAILED +order\/a +1 +OrderPaid +1 +\S+Z +a column is \[31mmissing$/m);
      assert.match(report.stdout, /^2 +views +WAITING +order\/a +2 +OrderPaid +0 +\S+Z +waits behind/m);
      assert.match(report.stdout, /^dead letters: 2 failed, 1 waiting behind, 0 redriven$/m);
      assert.match((await command(['--limit', '2'])).stdout, /^There are more: --after 2 shows the next ones\.$/m);
      assert.deepEqual(
        (await listed('--after', '2')).map(({ id }) => id),
        ['3'],
      );
      assert.deepEqual(await listed('--group', 'others'), []);

      broken = false;
      const first = await command(['redrive', '1']);
      assert.deepEqual([first.code, first.stdout], [0, '1: 2 of order/a go to views again\n']);
      await eventually('they are handled', async () => ((await listed()).length === 1 ? true : undefined));
      assert.deepEqual(handled, ['good 1', 'a 1', 'a 2']);

      const unknown = await command(['redrive', '1', '3']);
      assert.deepEqual(unknown.stdout.split('\n').slice(0, 2), [
        '1: there is no such dead letter, or no longer',
        '3: 1 of order/b go to views again',
      ]);
      assert.equal(unknown.code, 1);
      await eventually('all are handled', async () => ((await listed()).length === 0 ? true : undefined));
      assert.deepEqual(handled, ['good 1', 'a 1', 'a 2', 'b 1']);
    } finally {
      await bus.close();
    }
  });

  it('redrives everything of a group, which waits as long as no consumer runs', async () => {
    const bus = openEmbeddedBus({ url: databases.urls.bus, poolSize: 3, log: pino({ level: 'silent' }) });
    try {
      for (const group of ['sales', 'search']) {
        const refuse = (): Promise<void> => Promise.reject(new Error('no'));
        const options = { attempts: 1, from: 'latest', onError: () => undefined } as const;
        const subscription = await bus.subscribe(group, refuse, options);
        await bus.publish([event(`${group}-1`, 1), event(`${group}-2`, 1)]);
        await eventually('all are filed', async () =>
          (await listed('--group', group)).length === 2 ? true : undefined,
        );
        await subscription.stop();
      }
      const redriven = await command(['redrive', '--all', '--group', 'sales']);
      assert.deepEqual([redriven.code, redriven.stdout.trim().split('\n').length], [0, 2]);
      assert.deepEqual(
        (await listed()).map(({ group, state }) => `${group} ${state}`),
        ['sales REDRIVEN', 'sales REDRIVEN', 'search FAILED', 'search FAILED'],
      );
      const [{ id = '' } = {}] = await listed();
      const again = await command(['redrive', id]);
      assert.deepEqual([again.code, again.stdout.includes('was redriven already')], [1, true]);
    } finally {
      await bus.close();
    }
  });

  it('gives one up with a reason, shows it as such from then on, and counts it no more', async () => {
    const bus = openEmbeddedBus({ url: databases.urls.bus, poolSize: 3, log: pino({ level: 'silent' }) });
    try {
      const handled: number[] = [];
      const handle = (batch: readonly StoredEvent[]): Promise<void> => {
        if (batch.some((one) => one.aggregateVersion === 1)) return Promise.reject(new Error('no'));
        handled.push(...batch.map((one) => one.aggregateVersion));
        return Promise.resolve();
      };
      const group = ['--group', 'stock'];
      await bus.subscribe('stock', handle, { attempts: 1, from: 'latest', onError: () => undefined });
      await bus.publish([event('p', 1), event('p', 2), event('p', 3)]);
      await eventually('all are filed', async () => ((await listed(...group)).length === 3 ? true : undefined));
      const [first, second] = await listed(...group);
      const id = first?.id ?? '';

      const early = await command(['discard', second?.id ?? '', '--reason', 'no use']);
      assert.deepEqual([early.code, early.stdout.includes('only one that FAILED can be given up')], [1, true]);
      const given = await command(['discard', id, '--reason', 'its order was a test', '--by', 'mina']);
      assert.equal(given.code, 0, given.stderr);
      const told = `${id}: given up for stock, with all repeats of it; in order/p to be tried again behind it: 2\n`;
      assert.equal(given.stdout, told);
      await eventually('the others are handled', () => Promise.resolve(handled.length === 2 ? true : undefined));
      assert.deepEqual(handled, [2, 3]);
      await eventually('none is left', async () => ((await listed(...group)).length === 0 ? true : undefined));
      assert.equal((await command(group)).code, 0);

      const record = await command(['list', '--discarded', ...group]);
      assert.equal(record.code, 0);
      assert.match(
        record.stdout,
        new RegExp(`^${id} +stock +order/p +1 +OrderPaid +\\S+Z +mina +its order was a test +no$`, 'm'),
      );
      assert.deepEqual((await listed('--discarded', ...group))[0]?.discarded?.by, 'mina');
      const again = await command(['discard', id, '--reason', 'again']);
      assert.deepEqual([again.code, again.stdout], [1, `${id}: it was given up before\n`]);
      const redriven = await command(['redrive', id]);
      assert.deepEqual([redriven.code, redriven.stdout], [1, `${id}: it was given up, for good\n`]);
    } finally {
      await bus.close();
    }
  });

  it('ends with 2 and a line when it cannot look, and for a command that cannot be meant', async () => {
    const away = await command([], { BUS_DATABASE_URL: 'postgresql://a:b@127.0.0.1:9/none' });
    assert.deepEqual([away.code, away.stdout], [2, '']);
    assert.match(
      away.stderr,
      /^events:dead-letters: Can't reach database server at 127\.0\.0\.1:9\. Start it, .* BUS_DATABASE_URL\.\n$/,
    );
    const unset = await command([], { BUS_DATABASE_URL: '' });
    assert.deepEqual([unset.code, unset.stdout], [2, '']);
    assert.match(unset.stderr, /^events:dead-letters: BUS_DATABASE_URL is not set\. .*npm start.*\n$/);
    for (const args of [
      ['redrive'],
      ['redrive', '1', '--all'],
      ['redrive', '-1'],
      ['redrive', '9223372036854775808'],
      ['discard', '1'],
      ['discard', '--reason', 'no use'],
      ['discard', '1', '--reason', ' '],
      ['discard', '1', '--reason', 'no\u001b[31m'],
      ['discard', '1', '--reason', 'x'.repeat(401)],
    ]) {
      assert.equal((await command(args)).code, 2, args.join(' '));
    }
    for (const args of [
      ['list', '--limit', '0'],
      ['list', '--after', 'x'],
    ]) {
      assert.equal((await command(args)).code, 2, args.join(' '));
    }
    assert.equal((await command(['lst'])).stderr, 'error: there is no command lst, only list, redrive and discard\n');
    assert.match((await command(['--help'])).stdout, /Exit codes: 0 when there are none/);
  });
});

const event = (aggregateId: string, aggregateVersion: number): StoredEvent => ({
  ...{ id: randomUUID(), type: 'OrderPaid', source: 'order', aggregateType: 'order', aggregateId, aggregateVersion },
  envelope: {},
});
