import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import type { Audited } from '../../infra/audit/audit.ts';
import { inheritedEnvironment } from '../../infra/inherited-environment.ts';
import { type AuditedShop, openAuditedShop } from '../support/audited-shop.ts';
import { fillViews } from '../support/filled-views.ts';

/** Nothing listens there: the port is reserved, and no unprivileged process may take it. */
const NOWHERE = '127.0.0.1:1';

describe('the commands audit and inventory:rebuild', function () {
  this.timeout(60_000);
  let shop: AuditedShop;
  let folder: string;

  before(async () => {
    folder = await mkdtemp(join(tmpdir(), 'commerce-saga-audit-'));
    shop = await openAuditedShop();
    await shop.oneOfEach();
    await shop.drain();
    await fillViews(shop);
  });
  after(async () => {
    await shop.close();
    await rm(folder, { recursive: true, force: true });
  });

  const run = (script: string, args: readonly string[], changes: Readonly<Record<string, string>> = {}) =>
    new Promise<{ code: unknown; out: string; err: string }>((resolve) => {
      const env = {
        ...inheritedEnvironment(),
        NODE_ENV: 'test',
        DATA_DIR: folder,
        TEMPORAL_ADDRESS: shop.address,
        GATEWAY_URL: shop.gatewayUrl,
        PLATFORM_DATABASE_URL: shop.urls.platform,
        ORDER_DATABASE_URL: shop.urls.order,
        PAYMENT_DATABASE_URL: shop.urls.payment,
        BUS_DATABASE_URL: shop.urls.bus,
        VIEWS_DATABASE_URL: shop.urls.views,
        ...changes,
      };
      execFile(process.execPath, ['--import', 'tsx', script, ...args], { env }, (error, out, err) =>
        resolve({ code: error === null ? 0 : error.code, out, err }),
      );
    });
  const audit = (args: readonly string[] = [], changes?: Readonly<Record<string, string>>) =>
    run('cli/audit.ts', args, changes);

  it('ends with 0 and a table when everything holds', async () => {
    const { code, out, err } = await audit();
    assert.deepEqual([code, err], [0, '']);
    assert.equal(out.match(/ ok$/gm)?.length, 9, out);
    assert.match(out, /\naudit: clean\n$/);
  });

  const unreachable: [string, Record<string, string>, RegExp][] = [
    [
      'a database',
      { ORDER_DATABASE_URL: `postgresql://commerce_order:secret@${NOWHERE}/db_order` },
      /^audit: Database order \(127\.0\.0\.1:1\/db_order\) cannot be read: .*ECONNREFUSED.* correct ORDER_DATABASE_URL\.\n$/,
    ],
    [
      'the gateway',
      { GATEWAY_URL: `http://${NOWHERE}` },
      /^audit: The books of the payment provider simulated cannot be read: .* Start it or correct its settings, .*\n$/,
    ],
    [
      'Temporal',
      { TEMPORAL_ADDRESS: NOWHERE },
      /^audit: Temporal at 127\.0\.0\.1:1, namespace default, cannot be asked: .* use --no-temporal\.\n$/,
    ],
    ['a setting', { PAYMENT_DATABASE_URL: '' }, /^audit: Set PAYMENT_DATABASE_URL, or run `npm start`\.\n$/],
  ];
  for (const [what, changes, line] of unreachable) {
    it(`ends with 2 and one line when ${what} is missing, which holds no password`, async () => {
      const { code, out, err } = await audit([], changes);
      assert.deepEqual([code, out], [2, '']);
      assert.match(err, line);
      assert.doesNotMatch(err, /secret/);
    });
  }

  it('needs neither gateway nor Temporal for what does not concern them', async () => {
    const { code, err } = await audit(['--only', '1,2', '--no-temporal'], {
      ...{ GATEWAY_URL: '', ORDER_DATABASE_URL: '', PAYMENT_DATABASE_URL: '', TEMPORAL_ADDRESS: NOWHERE },
    });
    assert.deepEqual([code, err], [0, '']);
  });

  it('ends with 2, as having seen nothing, for an invariant or a setting that it does not know', async () => {
    const { code, err } = await audit(['--only', '1,12']);
    assert.equal(code, 2);
    const setting = await audit([], { GATEWAY_URL: 'no address' });
    assert.equal(setting.code, 2);
    assert.match(setting.err, /GATEWAY_URL/);
    assert.match(err, /numbers out of 1, 2, 3, 4, 5, 6, 7, 8, 9/);
  });

  it('explains itself', async () => {
    for (const script of ['cli/audit.ts', 'cli/inventory-rebuild.ts']) {
      const { code, out } = await run(script, ['--help']);
      assert.equal(code, 0);
      assert.match(out, /Exit codes/);
    }
  });

  it('ends with 1 and names the row, which inventory:rebuild finds, repairs and finds no more', async () => {
    const [stock] = await shop.untouched(1);
    await shop.damage('platform', `update inventory_snapshots set available_quantity = 7 where id = $1`, [stock?.id]);

    const table = await audit(['--only', '1']);
    assert.equal(table.code, 1);
    assert.match(
      table.out,
      new RegExp(`Broken:\n {2}1 {2}stock ${stock?.name}\n +is +available 7, .*\n +should be +avail`),
    );
    const json = await audit(['--json']);
    assert.equal(json.code, 1);
    assert.deepEqual(
      (JSON.parse(json.out) as Audited).findings.map(({ invariant, row }) => [invariant, row]),
      [
        [8, `mv_product_stock ${stock?.name}`],
        [1, `stock ${stock?.name}`],
      ],
    );

    const rebuild = async (...args: string[]) => (await run('cli/inventory-rebuild.ts', args)).out;
    assert.match(await rebuild(), /1 differences, 0 repaired\nNothing was changed\. Run again with --apply/);
    assert.equal((await run('cli/inventory-rebuild.ts', [])).code, 1);
    const applied = await run('cli/inventory-rebuild.ts', ['--apply']);
    assert.deepEqual([applied.code, applied.err], [0, '']);
    assert.match(applied.out, /1 differences, 1 repaired\n$/);
    assert.match(await rebuild('--apply'), /0 differences, 0 repaired\n$/);
    assert.equal((await audit(['--only', '1'])).code, 0);
  });

  it('ends with 2 and one line when inventory:rebuild cannot reach the platform', async () => {
    const PLATFORM_DATABASE_URL = `postgresql://commerce_platform:secret@${NOWHERE}/db_platform`;
    const { code, err } = await run('cli/inventory-rebuild.ts', ['--apply'], { PLATFORM_DATABASE_URL });
    assert.equal(code, 2);
    assert.match(err, /^inventory:rebuild: Database platform .* cannot be read: .*\n$/);
  });

  it('ends with 2 when only Temporal could say whether something is broken, and with 1 when it says so', async () => {
    const { orderId } = await shop.steps.place();
    await shop.drain();
    await fillViews(shop);
    const unknown = await audit(['--no-temporal']);
    assert.equal(unknown.code, 2, unknown.out);
    assert.match(unknown.out, /audit: \d unknown\n$/);

    const broken = await audit();
    assert.equal(broken.code, 1);
    assert.match(broken.out, new RegExp(`6 {2}order ${orderId}`));

    const end = await shop.openWorkflow(`checkout-${orderId}`);
    const open = await audit();
    assert.equal(open.code, 0, open.out);
    assert.match(open.out, /In progress: [^]*checkout-[^]*audit: clean, \d in progress\n$/);
    await end();
  });
});
