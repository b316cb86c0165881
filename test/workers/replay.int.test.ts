import assert from 'node:assert/strict';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { type CommandResult, runCommand } from '../../infra/embedded/child.ts';
import { HISTORIES, historyFiles } from '../support/histories.ts';
import { temporalServer } from '../support/servers.ts';
import { WorkflowBench } from '../support/workflow-bench.ts';

/** Starting Node and bundling on a busy machine take seconds. */
const LIMIT_MS = 90_000;

async function replay(...args: string[]): Promise<CommandResult> {
  const { address } = await temporalServer();
  const env = { ...process.env, TEMPORAL_ADDRESS: address };
  return runCommand(process.execPath, ['--import', 'tsx', 'workers/replay.ts', ...args], LIMIT_MS, { env });
}

describe('npm run replay', function () {
  this.timeout(LIMIT_MS);

  it('says of every recorded history that it fits', async () => {
    const { code, output } = await replay();
    for (const file of historyFiles()) assert.match(output, new RegExp(`^${file}: ok \\(\\d+ events\\)$`, 'm'));
    assert.equal(output.split('\n').length, historyFiles().length);
    assert.equal(code, 0);
  });

  it('takes a workflow id of the running system', async () => {
    const bench = await WorkflowBench.onDevServer();
    try {
      const run = await bench.start();
      await run.result();
      const { code, output } = await replay(run.handle.workflowId);
      assert.match(output, new RegExp(`^${run.handle.workflowId}: ok \\(\\d+ events\\)$`));
      assert.equal(code, 0);
    } finally {
      await bench.close();
    }
  });

  it('ends with 1 and the difference when a history does not fit, after it has looked at the others', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'commerce-saga-replay-'));
    try {
      const [name = ''] = historyFiles().filter((file) => file.startsWith('paid.'));
      const changed = (await readFile(join(HISTORIES, name), 'utf8')).replace('"createOrder"', '"createInvoice"');
      await writeFile(join(folder, 'changed.json'), changed);
      const { code, output } = await replay(join(folder, 'changed.json'), join(HISTORIES, name));
      const [first, second, ...more] = output.split('\n');
      assert.match(first ?? '', /^changed\.json: DOES NOT FIT: \[TMPRL1100\] .*createInvoice.*createOrder/);
      assert.match(second ?? '', /^paid\.\S+: ok/);
      assert.deepEqual(more, []);
      assert.equal(code, 1);
    } finally {
      await rm(folder, { recursive: true, force: true });
    }
  });

  it('ends with 2 and one line when there is no such history', async () => {
    const ofFile = await replay('nowhere.json');
    assert.match(ofFile.output, /^nowhere\.json: ENOENT.*$/);
    const ofServer = await replay('checkout-nobody');
    assert.match(ofServer.output, /^no history from Temporal at 127\.0\.0\.1:\d+: .*$/);
    assert.deepEqual([ofFile.code, ofServer.code], [2, 2]);
  });
});
