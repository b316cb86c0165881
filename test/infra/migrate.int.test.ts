import assert from 'node:assert/strict';
import { cp, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

import { migrateDatabase, MigrationError, migrationState } from '../../infra/migrate.ts';
import { query, scratchDatabase } from '../support/databases.ts';

const FIRST = '20261123000000_initial';
const LATER = '20270101000000_later';

describe('applying migrations', () => {
  let url: string;
  let drop: () => Promise<void>;
  let folder: string;

  beforeEach(async () => {
    ({ url, drop } = await scratchDatabase());
    folder = await mkdtemp(join(tmpdir(), 'migrations-'));
    await cp(fileURLToPath(new URL('../../prisma/order/migrations', import.meta.url)), folder, { recursive: true });
  });
  afterEach(async () => {
    await drop();
    await rm(folder, { recursive: true });
  });

  const migrate = (options = {}) => migrateDatabase('order', url, undefined, { folder, ...options });
  const write = async (sql: string, name = LATER) => {
    await mkdir(join(folder, name), { recursive: true });
    await writeFile(join(folder, name, 'migration.sql'), sql);
  };
  const history = () => query(url, 'select * from _prisma_migrations order by started_at');

  it('applies what is new, tells its names, and changes nothing the second time', async () => {
    assert.deepEqual(await migrationState('order', url, { folder }), { pending: [FIRST], failed: [], edited: [] });
    const told: string[] = [];
    assert.deepEqual(await migrateDatabase('order', url, (line) => told.push(line), { folder }), [FIRST]);
    assert.deepEqual(told, [`order: applied ${FIRST}`]);
    const before = await history();

    assert.deepEqual(await migrate(), []);
    assert.deepEqual(await history(), before);
    await write('create table later (id integer)');
    assert.deepEqual(await migrate(), [LATER]);
    assert.deepEqual(await migrationState('order', url, { folder }), { pending: [], failed: [], edited: [] });
  });

  it('applies each migration once when four appliers start together', async () => {
    await write('select pg_sleep(0.3); create table later (id integer)');
    const applied = await Promise.all([migrate(), migrate(), migrate(), migrate()]);
    assert.deepEqual(applied.flat().sort(), [FIRST, LATER]);
    assert.equal((await history()).length, 2);
  });

  it('names the migration that failed, with the words of PostgreSQL, and leaves nothing of it behind', async () => {
    await write('create table half_done (id integer);\n\ninsert into nowhere values (1);');
    await assert.rejects(migrate(), (error) => {
      assert.ok(error instanceof MigrationError);
      assert.equal(
        error.message,
        `order: migration ${LATER} failed: ERROR: relation "nowhere" does not exist (line 3)`,
      );
      return true;
    });
    assert.deepEqual(await query(url, `select to_regclass('half_done') as made, to_regclass('orders')::text as kept`), [
      { made: null, kept: 'orders' },
    ]);
  });

  it('stops at a migration that failed earlier until it is told to try again', async () => {
    await write('insert into nowhere values (1)');
    await assert.rejects(migrate(), MigrationError);
    await assert.rejects(
      migrate(),
      new RegExp(`failed earlier.*--retry-failed.*${LATER}: .*ERROR: relation "nowhere" does not exist`, 's'),
    );
    assert.deepEqual((await migrationState('order', url, { folder })).failed, [LATER]);

    await query(url, 'create table nowhere (id integer)');
    assert.deepEqual(await migrate({ retryFailed: true }), [LATER]);
    assert.deepEqual(await migrate(), []);
  });

  it('runs a failed migration as it was corrected, and never says that it had been applied', async () => {
    await write('insert into nowhere values (1)');
    await assert.rejects(migrate(), MigrationError);
    await write('create table later (id integer)');
    assert.deepEqual(await migrationState('order', url, { folder }), { pending: [], failed: [LATER], edited: [] });
    await assert.rejects(migrate(), new RegExp(`failed earlier.*${LATER}: .*relation "nowhere"`, 's'));

    assert.deepEqual(await migrate({ retryFailed: true }), [LATER]);
    assert.deepEqual(await migrationState('order', url, { folder }), { pending: [], failed: [], edited: [] });
    assert.deepEqual(await migrate(), []);
    await write('select 1');
    await assert.rejects(migrate(), new RegExp(`${LATER} was changed after it had been applied`));
  });

  it('goes on without a failed migration that was withdrawn', async () => {
    await write('insert into nowhere values (1)');
    await assert.rejects(migrate(), MigrationError);
    await rm(join(folder, LATER), { recursive: true });
    await assert.rejects(migrate(), new RegExp(`failed earlier.*--retry-failed.*${LATER}`, 's'));

    const another = '20270102000000_another';
    await write('create table another (id integer)', another);
    assert.deepEqual(await migrate({ retryFailed: true }), [another]);
    assert.deepEqual(await migrate(), []);
    assert.deepEqual(await migrationState('order', url, { folder }), { pending: [], failed: [], edited: [] });
  });

  it('refuses to go on when a migration was changed after it had been applied', async () => {
    await migrate();
    await write('select 1', FIRST);
    await write('create table later (id integer)');
    await assert.rejects(migrate(), new RegExp(`${FIRST} was changed after it had been applied`));
    assert.deepEqual(await query(url, `select to_regclass('later') as made`), [{ made: null }]);
  });

  it('runs a function body with semicolons and quotes as it is written', async () => {
    const body = `begin perform 1; return 'a;b'; end`;
    await write(`create function odd() returns text language plpgsql as $$ ${body} $$; select odd();`);
    await migrate();
    assert.deepEqual(await query(url, 'select odd()'), [{ odd: 'a;b' }]);
  });

  it('says why it leaves a database alone that holds tables of somebody else', async () => {
    await query(url, 'create table theirs (id integer)');
    await assert.rejects(migrate(), (error) => {
      assert.ok(error instanceof MigrationError);
      assert.match(error.message, /^order: .*schema is not empty/s);
      return true;
    });
    assert.deepEqual(await query(url, `select to_regclass('orders') as made`), [{ made: null }]);
  });

  it('says which server it cannot reach', async () => {
    await assert.rejects(migrateDatabase('order', 'postgresql://x:y@127.0.0.1:1/none'), /ECONNREFUSED 127\.0\.0\.1:1/);
  });
});
