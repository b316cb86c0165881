import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { access, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { hostname, tmpdir } from 'node:os';
import { join } from 'node:path';

import { runCommand } from '../../infra/embedded/child.ts';

const LIMIT_MS = 20_000;

describe('a command that runs a TypeScript entry', () => {
  it('hands a Ctrl-C on once, although terminal and npm both deliver it, and waits for the exit code', async () => {
    const run = spawn(process.execPath, ['scripts/run.mjs', 'test/scripts/fixtures/counts-signals.ts'], {
      stdio: ['ignore', 'pipe', 'inherit'],
      detached: true,
    });
    const output = collected(run);
    await once(run.stdout, 'data');

    // What a terminal does, to the whole group, and then npm to the process it started.
    assert.ok(run.pid !== undefined);
    process.kill(-run.pid, 'SIGINT');
    run.kill('SIGINT');

    assert.deepEqual(await once(run, 'exit'), [7, null]);
    assert.match(output(), /interrupts: 1\n/);
  });

  it('tells a shell which signal ended the entry', async () => {
    const run = spawn(process.execPath, ['scripts/run.mjs', 'test/scripts/fixtures/counts-signals.ts'], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    await once(run.stdout, 'data');

    run.kill('SIGTERM');

    assert.deepEqual(await once(run, 'exit'), [128 + 15, null]);
  });
});

describe('the lock of the set-up', () => {
  let folder: string;

  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'commerce-saga-lock-'));
  });

  afterEach(() => rm(folder, { recursive: true }));

  it('lets one process work at a time', async () => {
    const outputs = await Promise.all([1, 2, 3].map(() => underLock({ holdMs: 300 })));

    const spans = outputs.map(({ output }) => spanOf(output)).sort((a, b) => a.from - b.from);
    assert.equal(spans.length, 3);
    spans.slice(1).forEach((span, i) => assert.ok(span.from >= (spans[i]?.to ?? Infinity), JSON.stringify(spans)));
    await assert.rejects(access(join(folder, 'lock')), { code: 'ENOENT' });
  });

  it('is taken over from a process that was killed', async () => {
    const dead = spawn(process.execPath, ['--eval', '']);
    await once(dead, 'exit');
    await mkdir(join(folder, 'lock'));
    await writeFile(
      join(folder, 'lock', 'owner.json'),
      JSON.stringify({ pid: dead.pid, host: hostname(), token: 'x' }),
    );

    const { code, output } = await underLock({ holdMs: 0 });

    assert.equal(code, 0, output);
  });

  it('is not taken from a process that lives: the wait ends with its name', async () => {
    await mkdir(join(folder, 'lock'));
    const owner = { pid: process.pid, host: hostname(), token: 'x' };
    await writeFile(join(folder, 'lock', 'owner.json'), JSON.stringify(owner));

    const { code, output } = await underLock({ holdMs: 0, timeoutMs: 500 });

    assert.equal(code, 1);
    assert.match(output, new RegExp(`still held by process ${process.pid}`));
  });

  function underLock({ holdMs, timeoutMs = 10_000 }: { holdMs: number; timeoutMs?: number }) {
    const program = `
      import { withLock } from './scripts/lock.mjs';
      const options = { timeoutMs: ${timeoutMs}, onWait: () => undefined };
      await withLock(${JSON.stringify(join(folder, 'lock'))}, options, async () => {
        const from = Date.now();
        await new Promise((done) => setTimeout(done, ${holdMs}));
        console.log('span', from, Date.now());
      });`;
    return runCommand(process.execPath, ['--input-type=module', '--eval', program], LIMIT_MS);
  }
});

function spanOf(output: string): { from: number; to: number } {
  const [, from, to] = /span (\d+) (\d+)/.exec(output) ?? assert.fail(output);
  return { from: Number(from), to: Number(to) };
}

function collected(child: ChildProcess): () => string {
  let text = '';
  child.stdout?.on('data', (chunk: Buffer) => (text += chunk.toString()));
  return () => text;
}
