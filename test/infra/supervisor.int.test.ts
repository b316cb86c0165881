import assert from 'node:assert/strict';
import { type ChildProcess, fork, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

import { startChild } from '../../infra/embedded/supervisor/child.ts';
import { emptyDataDir, prepareDataDir } from '../../infra/embedded/supervisor/data-dir.ts';
import { keptPart } from '../../infra/embedded/supervisor/kept-part.ts';
import { endLeftovers } from '../../infra/embedded/supervisor/leftovers.ts';
import type { RunningPart } from '../../infra/embedded/supervisor/part.ts';
import { identify } from '../../infra/embedded/supervisor/process-identity.ts';
import { AlreadyRunning, claimDataDir, type RunRecord } from '../../infra/embedded/supervisor/run-record.ts';
import { inheritedEnvironment } from '../../infra/inherited-environment.ts';

const READY_LIMIT_MS = 20_000;
const isAlive = (pid: number) => identify(pid) !== undefined;

async function until(what: string, condition: () => boolean, limitMs = 15_000): Promise<void> {
  for (const deadline = Date.now() + limitMs; !condition(); await sleep(25)) {
    assert.ok(Date.now() < deadline, `not within ${limitMs} ms: ${what}`);
  }
}

describe('the supervisor', () => {
  let folder: string;
  const warnings: string[] = [];
  const said: string[] = [];
  const pids: number[] = [];

  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'supervisor-'));
    for (const list of [warnings, said, pids]) list.length = 0;
  });
  afterEach(() => rmSync(folder, { recursive: true, force: true }));

  const start = (behaviour: string, aborted = new AbortController().signal, readyLimitMs = READY_LIMIT_MS) =>
    startChild(
      {
        name: 'sample',
        entry: 'test/infra/processes/child',
        env: { ...inheritedEnvironment(), BEHAVIOUR: behaviour },
        logFile: join(folder, 'logs/sample.log'),
        warn: (line) => warnings.push(line),
        readyLimitMs,
        spawned: (pid) => pids.push(pid),
      },
      aborted,
    );
  const kept = (behaviour: string, started: (part: RunningPart) => void = () => undefined, stopLimitMs = 10_000) =>
    keptPart({
      name: 'sample',
      start: (aborted) => start(behaviour, aborted),
      stopLimitMs,
      say: (line) => said.push(line),
      started,
    });

  it('takes a process for started when it says so, and keeps what it writes', async () => {
    const part = await start('serves');
    assert.equal(part.url, 'http://127.0.0.1:1');
    assert.equal(await part.stop(10_000), 'clean');
    assert.equal(isAlive(part.pid), false);
    assert.match(readFileSync(join(folder, 'logs/sample.log'), 'utf8'), /one ordinary line/);
  });

  it('tells the last lines and the exit code of a process that dies while it starts', async () => {
    await assert.rejects(start('dies'), (error: Error) => {
      assert.match(error.message, /sample ended while it started \(exit code 3\)/);
      assert.match(error.message, /fatal no such key: KEY is not set/);
      assert.match(error.message, /sample\.log/);
      return true;
    });
  });

  it('kills a process that is not ready in time instead of waiting for ever', async () => {
    await assert.rejects(start('silent', undefined, 1_500), /sample was not ready after 1\.5 s/);
    assert.deepEqual(pids.filter(isAlive), []);
  });

  it('kills a process that is still starting when it is told to stop', async () => {
    const part = kept('silent');
    const first = assert.rejects(part.start(), /told to stop while it started/);
    await until('a process', () => pids.length === 1);
    await part.stop();
    await first;
    assert.deepEqual(pids.filter(isAlive), []);
  });

  it('starts a process again that was killed, says so in one line, and stops the new one', async () => {
    const parts: RunningPart[] = [];
    const part = kept('serves', (running) => parts.push(running));
    const first = await part.start();
    first.kill();
    await until('a second process', () => parts.length === 2);
    await until('its line', () => said.length === 2);
    assert.match(said[0] ?? '', /^sample ended \(signal SIGKILL\): starting it again in 1 s$/);
    assert.match(said[1] ?? '', /^sample is back \(pid \d+\)$/);
    await part.stop();
    assert.deepEqual(pids.filter(isAlive), []);
    assert.equal(pids.length, 2);
  });

  it('kills a process that does not end within its limit, and says so', async () => {
    const part = kept('stubborn', undefined, 500);
    await part.start();
    await part.stop();
    assert.deepEqual(said, ['sample did not end within 0.5 s and was killed']);
    assert.deepEqual(pids.filter(isAlive), []);
  });

  describe('on its data folder', () => {
    it('gives a folder that several processes want to one of them', async () => {
      const claims = Array.from({ length: 4 }, () =>
        fork('test/infra/processes/claim.ts', [folder], { execArgv: ['--import', 'tsx'] }),
      );
      try {
        const answers = await Promise.all(claims.map(async (claim) => (await once(claim, 'message'))[0] as string));
        assert.deepEqual(answers.sort(), ['refused', 'refused', 'refused', 'taken']);
      } finally {
        await Promise.all(claims.map(killed));
      }
    });

    it('takes the folder over from a process that was killed, with the list of what it left', async () => {
      const left = spawn(process.execPath, ['-e', 'setTimeout(() => {}, 60000)']);
      const dead = spawn(process.execPath, ['-e', '']);
      try {
        await until('a process', () => left.pid !== undefined && isAlive(left.pid));
        const claim = claimDataDir(folder);
        claim.record('sample', left.pid ?? 0);
        assert.throws(() => claimDataDir(folder), AlreadyRunning);
        forgeSupervisor(folder, dead.pid ?? 0);

        const second = claimDataDir(folder);
        assert.equal(second.leftover?.processes['sample']?.pid, left.pid);
        second.release();
        assert.deepEqual(readdirSync(folder), []);
      } finally {
        await Promise.all([left, dead].map(killed));
      }
    });

    it('ends what a killed run has left, and never a process that only has the same number', async () => {
      const left = spawn(process.execPath, ['-e', 'setTimeout(() => {}, 60000)']);
      const stranger = spawn(process.execPath, ['-e', 'setTimeout(() => {}, 60000)']);
      try {
        await until('two', () => [left, stranger].every(({ pid }) => pid !== undefined && isAlive(pid)));
        const [ours, theirs] = [identify(left.pid ?? 0), identify(stranger.pid ?? 0)];
        assert.ok(ours !== undefined && theirs !== undefined);
        const record: RunRecord = {
          runId: 'dead',
          supervisor: { ...ours, pid: 1, started: 'never' },
          processes: { temporal: ours, workers: { ...theirs, started: 'long ago' } },
        };
        await endLeftovers(record, { graceMs: 1_000, servers: {}, say: (line) => said.push(line) });
        // A process that has ended is listed until its parent, this test, has taken note of it.
        await until('ours has ended', () => !isAlive(ours.pid));
        assert.equal(isAlive(theirs.pid), true);
        assert.deepEqual(
          said.map((line) => line.replaceAll(/\d+/g, 'N')),
          [
            'the pid of workers (pid N) of the killed run belongs to another program now: left alone',
            'ending temporal (pid N), left by a run that was killed',
          ],
        );
      } finally {
        await Promise.all([left, stranger].map(killed));
      }
    });

    it('does not settle in a folder with the files of somebody else, and empties only its own', () => {
      writeFileSync(join(folder, 'thesis.txt'), 'years of work');
      assert.throws(() => prepareDataDir(folder), /holds files that are not ours \(thesis\.txt\)/);
      assert.throws(() => emptyDataDir(folder, []), /not marked as ours/);
      assert.ok(existsSync(join(folder, 'thesis.txt')));

      const own = join(folder, 'own');
      prepareDataDir(own);
      writeFileSync(join(own, 'old.db'), 'old');
      writeFileSync(join(own, 'run.json'), '{}');
      emptyDataDir(own, ['run.json']);
      assert.deepEqual(readdirSync(own).sort(), ['.commerce-saga', 'run.json']);
    });
  });
});

async function killed(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const end = once(child, 'exit');
  child.kill('SIGKILL');
  await end;
}

/** As if the run that has the folder had been another process, which is gone. */
function forgeSupervisor(folder: string, pid: number): void {
  const file = join(folder, 'run.json');
  const record = JSON.parse(readFileSync(file, 'utf8')) as RunRecord;
  writeFileSync(file, JSON.stringify({ ...record, supervisor: { ...record.supervisor, pid, started: 'before' } }));
}
