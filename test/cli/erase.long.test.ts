import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { inheritedEnvironment } from '../../infra/inherited-environment.ts';
import { type Ended, runEntry } from '../support/commands.ts';
import { freshDatabases, query, type TestDatabases } from '../support/databases.ts';

const LIMIT_MS = 60_000;
/** Nothing listens there: the port is reserved, and no unprivileged process may take it. */
const NOWHERE = 'postgresql://commerce:secret@127.0.0.1:1/none';

describe('npm run erase', function () {
  this.timeout(2 * LIMIT_MS);
  let databases: TestDatabases;
  let folder: string;
  before(async () => {
    databases = await freshDatabases({ seed: true });
    folder = await mkdtemp(join(tmpdir(), 'erase-'));
  });
  after(async () => {
    await databases.drop();
    await rm(folder, { recursive: true });
  });

  const run = (args: readonly string[], url: string = databases.urls.platform): Promise<Ended> => {
    const env = { ...inheritedEnvironment(), NODE_ENV: 'test', DATA_DIR: folder, PLATFORM_DATABASE_URL: url };
    return runEntry('cli/erase.ts', args, env, LIMIT_MS);
  };
  const nameOf = (userId: string) =>
    query(databases.adminUrl('platform'), 'select full_name as name, version from users where id = $1', [userId]);

  it('erases once, and says so when it was done before, also when two do it at once', async () => {
    const both = await Promise.all([run(['--customer', '7', '--yes']), run(['--customer', '7', '--yes', '--json'])]);
    assert.deepEqual(
      both.map(({ code, stderr }) => [code, stderr]),
      [
        [0, ''],
        [0, ''],
      ],
    );
    const again = await run(['--customer', '7', '--yes']);
    assert.equal(again.code, 0, again.stderr);
    assert.match(again.stdout, /^customer 7 was erased already, at \d{4}-\S+Z; nothing was changed\n$/);
    assert.deepEqual(await nameOf('7'), [{ name: 'Erased customer', version: '2' }]);
    const told = JSON.parse(both[1].stdout) as Record<string, unknown>;
    assert.deepEqual(Object.keys(told), ['userId', 'fresh', 'erasedAt']);
    assert.equal(/is erased: let backups expire/.test(both[0].stdout), told['fresh'] === false);
  });

  it('erases nobody without being told that it may, or when it is not told whom', async () => {
    const [asked, notAnId, unknown, away] = await Promise.all([
      run(['--customer', '8']),
      run(['--customer', '8 or true', '--yes']),
      run(['--customer', '999999', '--yes']),
      run(['--customer', '8', '--yes'], NOWHERE),
    ]);
    assert.deepEqual([asked.code, notAnId.code, unknown.code, away.code], [2, 2, 1, 2]);
    assert.equal(asked.stderr, 'erase: there is no terminal to ask on: give --yes to erase without being asked\n');
    assert.match(notAnId.stderr, /'8 or true' is invalid\. It is not an id/);
    assert.equal(unknown.stderr, 'erase: there is no customer 999999: give a user id, such as 17\n');
    assert.match(away.stderr, /^erase: [^\n]*Start it, or correct PLATFORM_DATABASE_URL\.\n$/);
    assert.deepEqual(await nameOf('8'), [{ name: 'Customer 008', version: '1' }]);
  });
});
