import assert from 'node:assert/strict';

import { type Child, startChild } from '../support/child.ts';
import { audited, runEntry } from '../support/commands.ts';
import { eventually } from '../support/eventually.ts';
import { startSystem, type TestSystem } from '../support/system.ts';

const SHOPPERS = 500;
const AT_ONCE = 16;
const CUSTOMERS = 10;
/** Slow cards and time-outs of the gateway take half a minute of it; the rest is for a machine that has other work. */
const DEMO_LIMIT_MS = 420_000;

describe('the demo with five hundred shoppers', function () {
  this.timeout(DEMO_LIMIT_MS + 120_000);
  let system: TestSystem;
  let relays: Child;

  before(async () => {
    system = await startSystem();
    await system.startWorkers();
    relays = await startChild('workers/events-main.ts', system.env);
  });
  after(async () => {
    await relays.kill();
    await system.stop();
  });

  it('sees all of them fare as expected, and leaves behind what the audit finds clean', async () => {
    const customers = await system.query<{ id: string }>(
      'platform',
      `select id::text from users where status = 'ACTIVE' order by id limit ${CUSTOMERS}`,
    );
    const tokens = await Promise.all(customers.map(({ id }) => system.tokenOf(id)));
    const env = { ...system.env, API_URL: system.shop.url, API_TOKENS: tokens.join(',') };
    const args = [
      '--orders',
      String(SHOPPERS),
      '--concurrency',
      String(AT_ONCE),
      '--admin-token',
      system.shop.tokens.admin,
    ];

    const { code, stdout, stderr } = await runEntry('cli/demo.ts', args, env, DEMO_LIMIT_MS);
    assert.equal(code, 0, `${stdout}\n${stderr}`);
    assert.match(stdout, /^All 500 fared as expected\.$/m);
    assert.match(stdout, /^audit: clean/m);

    // What the demo's own audit may have met half-way has ended: now there is no excuse left.
    await eventually('every saga has ended', async () => {
      const { count } = await system.temporal.workflow.count(
        'ExecutionStatus = "Running" and WorkflowType = "checkout"',
      );
      return count === 0 ? true : undefined;
    });
    const verdict = await audited(system);
    assert.equal(verdict.code, 0, `${verdict.stdout}\n${verdict.stderr}`);
    assert.match(verdict.stdout, /^audit: clean$/m);
  });
});
