import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';

import { auditShop } from '../../api/contract/audit.ts';
import { apiClient } from '../../api/contract/client.ts';
import { SCENARIOS } from '../../cli/demo/scenarios.ts';
import { type Child, startChild } from '../support/child.ts';
import { eventually } from '../support/eventually.ts';
import { startSystem, type TestSystem } from '../support/system.ts';

type End = Readonly<{ code: number; stdout: string; stderr: string }>;

const demo = (args: readonly string[], env: Readonly<Record<string, string>>): Promise<End> =>
  new Promise((resolve) => {
    execFile(process.execPath, ['--import', 'tsx', 'cli/demo.ts', ...args], { env }, (error, stdout, stderr) => {
      resolve({ code: error === null ? 0 : Number(error.code), stdout, stderr });
    });
  });

describe('the demo', function () {
  this.timeout(300_000);
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

  const settings = () => {
    const { customer, otherCustomer } = system.shop.tokens;
    return { ...system.env, API_URL: system.shop.url, API_TOKENS: `${customer},${otherCustomer}` };
  };

  it('sees every kind of shopper fare as expected', async () => {
    const { code, stdout, stderr } = await demo(
      ['--orders', '40', '--seed', '7', '--admin-token', system.shop.tokens.admin],
      settings(),
    );
    assert.equal(code, 0, `${stdout}\n${stderr}`);
    assert.match(stdout, /All 40 fared as expected/);
    for (const row of [/^paid +\d+ +PAID +\d+ PAID +\d+ ms/m, /^out of stock +\d+ +OUT_OF_STOCK/m, /^cancelled /m]) {
      assert.match(stdout, row);
    }
    assert.doesNotMatch(stdout, /left out/);
    for (const { name } of SCENARIOS) assert.match(stdout, new RegExp(`^${name} +[1-9]`, 'm'));
  });

  it('leaves nothing that waits for a person, and in the books what its shoppers and the desk decided', async () => {
    await eventually('nothing is parked', async () => {
      const query = 'ExecutionStatus = "Running" and CheckoutStatus = "NEEDS_ATTENTION"';
      return (await system.temporal.workflow.count(query)).count === 0 ? true : undefined;
    });
    const history = await system.query<{ status: string; reason: string }>(
      'order',
      `select status, reason from order_status_history where actor like 'operator:%'`,
    );
    const [retried] = history.filter(({ reason }) => reason.startsWith('retry settleWithGateway: '));
    assert.equal(retried?.status, 'CANCELLED', JSON.stringify(history));
    const failed = history.filter(({ reason }) => reason.startsWith('REFUND_FAILED '));
    assert.ok(failed.length > 0 && failed.every(({ status }) => status === 'PAID'), JSON.stringify(history));
    const refunds = await system.query('payment', `select id from refunds where status = 'FAILED'`);
    assert.equal(refunds.length, failed.length);
    const faults = await (await fetch(new URL('/faults', system.gatewayUrl))).json();
    assert.deepEqual(faults, { faults: [], holding: [] }, 'each "no" was said');
  });

  it('leaves a shop that the API finds clean as well, with a look at everything', async () => {
    const { url, tokens } = system.shop;
    const answer = await apiClient({ url, token: tokens.admin }).call(auditShop, { query: { maxAge: 0 } });
    assert.ok(answer.status === 200 && answer.problem === undefined, JSON.stringify(answer));
    assert.equal(answer.body.verdict, 'CLEAN', JSON.stringify(answer.body));
    assert.ok(answer.body.invariants.every(({ leftOut }) => leftOut === undefined));
  });

  it('ends with 1 and says who fared otherwise', async () => {
    await system.query('platform', `update products set status = 'ARCHIVED' where id = 102 or id = 101`);
    const rows = await system.query<{ n: number }>(
      'platform',
      `update users set status = 'INACTIVE' where id in (1, 2) returning 1 as n`,
    );
    assert.equal(rows.length, 2);
    const { code, stderr } = await demo(['--orders', '3', '--seed', '7'], settings());
    assert.equal(code, 1);
    assert.match(stderr, /^demo: paid: expected PAID, saw UNKNOWN_USER$/m);
  });

  it('says in one line that nothing is running', async () => {
    const { code, stderr } = await demo(['--api', 'http://127.0.0.1:1', '--token', 'x'], system.env);
    assert.equal(code, 1);
    assert.match(stderr, /^demo: http:\/\/127\.0\.0\.1:1 cannot be used \(.+\): is `npm start` running\?\n$/);
    const nowhere = await demo([], system.env);
    assert.equal(nowhere.code, 1);
    assert.match(nowhere.stderr, /^demo: Nothing is running on .+\n$/);
  });
});
