import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';

import { inheritedEnvironment } from '../../infra/inherited-environment.ts';
import { eventually } from '../support/eventually.ts';

const SLOW_DRAIN = ['--import', 'tsx', 'test/infra/processes/slow-drain.ts'];

type Started = Readonly<{ child: ChildProcess; output: () => string; exit: Promise<unknown> }>;

describe('a process with work in hand', () => {
  const started: ChildProcess[] = [];

  afterEach(() => {
    for (const child of started.splice(0)) child.kill('SIGKILL'); // does nothing to one that has ended
  });

  async function serving(supervised: boolean): Promise<Started> {
    const stdio = ['ignore', 'pipe', 'inherit', ...(supervised ? (['ipc'] as const) : [])] as const;
    const child = spawn(process.execPath, SLOW_DRAIN, {
      env: { ...inheritedEnvironment(), NODE_ENV: 'test' },
      stdio: [...stdio],
    });
    started.push(child);
    let text = '';
    child.stdout?.on('data', (chunk: Buffer) => (text += chunk.toString()));
    const begun = { child, output: () => text, exit: ended(child) };
    await said(begun, 'serving');
    return begun;
  }

  const said = ({ output }: Started, line: string) =>
    eventually(line, () => Promise.resolve(output().split('\n').includes(line) || undefined), 20_000);

  it('finishes it under a supervisor although the whole group is told again to end', async () => {
    const begun = await serving(true);
    begun.child.kill('SIGTERM');
    await said(begun, 'draining');
    begun.child.kill('SIGTERM');
    begun.child.kill('SIGINT');
    assert.deepEqual(await begun.exit, [0, null]);
    assert.match(begun.output(), /^drained$/m);
  });

  it('shows nobody’s data when it crashes, and ends with 1', async () => {
    const code = `
      import { runProcess } from './infra/process.ts';
      await runProcess('crashing', async () => ({ close: () => Promise.resolve() }));
      void Promise.reject(Object.assign(new Error('duplicate key'), { detail: 'Key (email)=(canary@leak.example) exists.' }));
    `;
    const child = spawn(process.execPath, ['--import', 'tsx', '--input-type=module', '-e', code], {
      env: { ...inheritedEnvironment(), NODE_ENV: 'test' },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    started.push(child);
    let text = '';
    for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk: Buffer) => (text += chunk.toString()));
    assert.deepEqual(await ended(child), [1, null], text);
    assert.match(text, /"message":"duplicate key".*"msg":"crashed"/);
    assert.doesNotMatch(text, /canary/);
  });

  it('finishes it when the supervisor is killed in the middle of a clean stop', async () => {
    const begun = await serving(true);
    begun.child.kill('SIGTERM');
    await said(begun, 'draining');
    begun.child.disconnect();
    assert.deepEqual(await begun.exit, [0, null]);
    assert.match(begun.output(), /^drained$/m);
  });

  it('finishes it when the supervisor is gone and a service manager then ends the rest of the group', async () => {
    const begun = await serving(true);
    begun.child.disconnect();
    await said(begun, 'draining');
    begun.child.kill('SIGTERM');
    assert.deepEqual(await begun.exit, [0, null]);
    assert.match(begun.output(), /^drained$/m);
  });

  it('drops it without a supervisor when it is asked twice', async () => {
    const begun = await serving(false);
    begun.child.kill('SIGTERM');
    await said(begun, 'draining');
    begun.child.kill('SIGTERM');
    assert.deepEqual(await begun.exit, [130, null]);
    assert.doesNotMatch(begun.output(), /^drained$/m);
  });
});

/** Not the event `close`: it does not come once we have cut the IPC channel ourselves. */
async function ended(child: ChildProcess): Promise<unknown> {
  const [exit] = await Promise.all([once(child, 'exit'), child.stdout && once(child.stdout, 'close')]);
  return exit;
}
