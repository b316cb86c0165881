import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { createReadStream, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

import { DATABASES } from '../../infra/config.ts';
import type { Child } from '../support/child.ts';
import { audited, runEntry } from '../support/commands.ts';
import { freshDatabases, query, type TestDatabases } from '../support/databases.ts';
import { eventually } from '../support/eventually.ts';
import { BANK, moneyOf, type MoneyShop } from '../support/money-shop.ts';
import { tracesOf } from '../support/personal-traces.ts';
import { postgresServer } from '../support/servers.ts';
import { startSystem, type TestSystem } from '../support/system.ts';

const LIMIT_MS = 60_000;

describe('a customer who is erased while the shop is at work', function () {
  this.timeout(180_000);
  let databases: TestDatabases;
  let system: TestSystem;
  let shop: Pick<MoneyShop, 'place' | 'transfer' | 'untilCheckout' | 'ended'>;
  let children: readonly Child[];
  before(async () => {
    databases = await freshDatabases({ seed: true });
    system = await startSystem({ databases, env: { LOG_LEVEL: 'trace', RATE_LIMIT_PER_MINUTE: '100000' } });
    shop = moneyOf(system);
    children = [system.api, system.gateway, await system.startWorkers(), await system.startEvents()];
  });
  after(() => system.stop());

  const secret = `planted${randomUUID().slice(0, 8)}`;
  const person = { username: secret, email: `${secret}@shop.test`, fullName: `Ms ${secret}` };
  const asAdmin = (method: string, path: string, body?: unknown) =>
    system.shop.call(method, path, {
      ...{ body, bearer: system.shop.tokens.admin, headers: { 'idempotency-key': randomUUID() } },
    });
  const command = (entry: string, ...args: string[]) => runEntry(entry, args, system.env, LIMIT_MS);

  it('is known to nobody any more, ends what they began, and is missed by no sum', async () => {
    const made = await asAdmin('POST', '/v1/users', person);
    assert.equal(made.status, 201);
    const userId = String(made.body['userId']);
    const bearer = await system.tokenOf(userId);
    const me = async () => (await system.shop.call('GET', '/v1/users/me', { bearer })).body;
    // A refusal that a careless server would write into its log with the address.
    assert.equal((await asAdmin('POST', '/v1/users', { ...person, username: 'another' })).body['code'], 'EMAIL_TAKEN');
    assert.deepEqual(await shop.ended(await shop.place(undefined, { bearer })), { status: 'COMPLETED' });
    const open = await shop.place(BANK, { bearer });
    await shop.untilCheckout(open, 'AWAITING_PAYMENT');
    const spent = async () => (await me())['totals'];
    const before = await eventually('the customer sees what they bought', async () => {
      const { email, totals } = await me();
      return email === person.email && (totals as unknown[]).length > 0 ? totals : undefined;
    });
    assert.deepEqual(await tracesOf(databases.adminUrl, secret), ['platform.users: 1']);

    // The last change may be anywhere between the outbox and the view while the customer is erased.
    const [changed, erased] = await Promise.all([
      asAdmin('PATCH', `/v1/users/${userId}`, { fullName: `Dr ${secret}` }),
      command('cli/erase.ts', '--customer', userId, '--yes'),
    ]);
    assert.ok(changed.status === 200 || changed.status === 404, JSON.stringify(changed.body));
    assert.equal(erased.code, 0, erased.stderr);
    assert.deepEqual(await tracesOf(databases.adminUrl, secret), []);
    assert.equal((await me())['email'], `erased-${userId}@erased.invalid`, 'no cache has them');
    const { totals } = (await eventually('the view knows', async () => {
      const seen = await me();
      return seen['status'] === 'DELETED' ? seen : undefined;
    })) as Record<string, unknown>;
    assert.deepEqual(totals, before);

    assert.equal(await shop.transfer(open), 200);
    assert.deepEqual(await shop.ended(open), { status: 'COMPLETED' });
    const refused = await system.shop.place({ items: [{ productId: '102', quantity: 1 }], bearer });
    assert.equal(refused.body['code'], 'UNKNOWN_USER');
    await eventually('the second order counts', async () =>
      (await spent()) !== undefined && JSON.stringify(await spent()) !== JSON.stringify(before) ? true : undefined,
    );
    const listed = await asAdmin('GET', `/v1/orders?userId=${userId}`);
    const customers = (listed.body['items'] as Record<string, unknown>[]).map(({ customer }) => customer);
    assert.deepEqual(customers, Array(2).fill({ userId, fullName: 'Erased customer' }));

    const rebuilt = await command('cli/views-rebuild.ts', 'users', '--dry-run');
    assert.deepEqual([rebuilt.code, rebuilt.stderr], [0, ''], rebuilt.stdout);
    const exported = await command('cli/events-export.ts', 'platform', '--type', 'UserCreated,UserUpdated');
    assert.ok(exported.code === 0 && exported.stdout.includes(`"subject":"${userId}"`), exported.stderr);
    const { code, stdout } = await audited(system, { relays: true });
    assert.equal(code, 0, stdout);

    const { clusterDir } = await postgresServer();
    const logs = {
      ...{ exported: exported.stdout, postgres: readFileSync(join(clusterDir, '..', 'postgres.log'), 'utf8') },
      ...Object.fromEntries(children.map((child, index) => [`process ${index}`, child.output()])),
    };
    for (const [name, text] of Object.entries(logs)) assert.ok(!text.includes(secret), `${name} has the name`);
    assert.match(logs.postgres, /users_email_key/, 'the refusal is in the log, without the address');
  });

  it('is in no file of the databases either, once these were vacuumed as docs/operations.md says', async () => {
    const folders = await Promise.all(DATABASES.map((name) => folderOf(databases.adminUrl(name))));
    // A control: a name that is there is found.
    const [user] = await system.query<{ name: string }>('platform', 'select username as name from users where id = 2');
    await query(databases.adminUrl('platform'), 'vacuum (full) users, personal_keys');
    await query(databases.adminUrl('platform'), 'checkpoint');
    assert.ok((await filesWith(folders, user?.name ?? '')).length > 0);
    assert.deepEqual(await filesWith(folders, secret), []);
  });
});

async function folderOf(adminUrl: string): Promise<string> {
  const { clusterDir } = await postgresServer();
  const [row] = await query<{ oid: string }>(
    adminUrl,
    'select oid::text from pg_database where datname = current_database()',
  );
  return join(clusterDir, 'base', String(row?.oid));
}

async function filesWith(folders: readonly string[], text: string): Promise<string[]> {
  const found: string[] = [];
  for (const folder of folders) {
    for (const file of readdirSync(folder)) if (await hasText(join(folder, file), text)) found.push(join(folder, file));
  }
  return found;
}

async function hasText(file: string, text: string): Promise<boolean> {
  let end = '';
  for await (const chunk of createReadStream(file, 'latin1')) {
    const read = end + String(chunk);
    if (read.includes(text)) return true;
    end = read.slice(-text.length);
  }
  return false;
}
