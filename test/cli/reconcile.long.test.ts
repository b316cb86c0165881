import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { Client, Connection } from '@temporalio/client';

import { inheritedEnvironment } from '../../infra/inherited-environment.ts';
import { runEntry } from '../support/commands.ts';
import { eventually } from '../support/eventually.ts';
import { temporalServer } from '../support/servers.ts';

const LIMIT_MS = 90_000;
const RUNS = 'WorkflowType="reconcile"';

describe('npm run reconcile without workers', function () {
  this.timeout(LIMIT_MS);
  let folder: string;
  before(async () => (folder = await mkdtemp(join(tmpdir(), 'commerce-saga-reconcile-'))));
  after(() => rm(folder, { recursive: true, force: true }));

  it('gives up after a while with 2, says what to start, and leaves nothing that would start later', async () => {
    const { address } = await temporalServer();
    const env = { ...inheritedEnvironment(), DATA_DIR: folder, TEMPORAL_ADDRESS: address };
    const { code, stdout, stderr } = await runEntry('cli/reconcile.ts', ['--apply'], env, LIMIT_MS);
    assert.deepEqual([code, stdout], [2, '']);
    assert.match(
      stderr,
      /reconcile: No checkout worker takes up work: start it \(`npm run worker checkout-worker`\)\.\n$/,
    );

    const connection = await Connection.connect({ address });
    try {
      const { workflow } = new Client({ connection });
      const ended = await eventually('the run is shown as terminated', async () => {
        const { count } = await workflow.count(`${RUNS} AND ExecutionStatus="Terminated"`);
        return count > 0 ? count : undefined;
      });
      const { count: running } = await workflow.count(`${RUNS} AND ExecutionStatus="Running"`);
      assert.deepEqual([ended, running], [1, 0]);
    } finally {
      await connection.close();
    }
  });
});
