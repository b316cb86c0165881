import assert from 'node:assert/strict';
import { rm } from 'node:fs/promises';

import { DATABASES } from '../../infra/config.ts';
import { runCommand } from '../../infra/embedded/child.ts';
import { type EmbeddedPostgresServer, startPostgres } from '../../infra/embedded/postgres.ts';
import { DATABASE_NAMES } from '../../infra/embedded/provision.ts';
import { inheritedEnvironment } from '../../infra/inherited-environment.ts';
import { query } from '../support/databases.ts';
import { serverFolder } from '../support/servers.ts';

const COMMAND_LIMIT_MS = 60_000;

describe('npm run provision', () => {
  let folder: string;
  let server: EmbeddedPostgresServer;
  // A server of its own: it sets passwords of roles that other tests log in as.
  before(async () => {
    folder = await serverFolder();
    server = await startPostgres({ dataDir: folder, port: 0, settings: { fsync: 'off' } });
  });
  after(async () => {
    await server.stop();
    await rm(folder, { recursive: true, force: true });
  });

  const urlOf = (role: string, password: string, database: string): string => {
    const url = new URL(server.adminUrl);
    [url.username, url.password, url.pathname] = [role, encodeURIComponent(password), `/${database}`];
    return url.href;
  };
  const serviceUrl = (name: keyof typeof DATABASE_NAMES) =>
    urlOf(`commerce_${name}`, `${name}'s: p@ss/w%rd`, DATABASE_NAMES[name]);
  const allUrls = (migrator = 'commerce_migrator', password = 'm') =>
    Object.fromEntries(
      DATABASES.flatMap((name) => [
        [`${name.toUpperCase()}_DATABASE_URL`, serviceUrl(name)],
        [`${name.toUpperCase()}_MIGRATION_URL`, urlOf(migrator, password, DATABASE_NAMES[name])],
      ]),
    );
  const provision = (env: Record<string, string>, ...args: string[]) =>
    runCommand(process.execPath, ['--import', 'tsx', 'cli/provision.ts', ...args], COMMAND_LIMIT_MS, {
      env: { ...inheritedEnvironment(), ADMIN_DATABASE_URL: server.adminUrl, ...env },
    });
  const databases = async (): Promise<string[]> => {
    const rows = await query<{ datname: string }>(
      server.adminUrl,
      "select datname from pg_database where datname ~ '^db_'",
    );
    return rows.map(({ datname }) => datname).sort();
  };

  const refused: [string, () => Record<string, string>, string[], RegExp][] = [
    ['without an administrator', () => ({ ADMIN_DATABASE_URL: '' }), [], /ADMIN_DATABASE_URL is not set/],
    ['without a database', () => ({}), [], /No database has a URL/],
    ['a database without its URLs', () => ({}), ['order'], /order: set ORDER_MIGRATION_URL and ORDER_DATABASE_URL/],
    [
      'a service as another role than the migrations grant to',
      () => ({ ...allUrls(), ORDER_DATABASE_URL: urlOf('shop', 'p', 'db_order') }),
      [],
      /ORDER_DATABASE_URL must be of the role commerce_order/,
    ],
    [
      'a service that would own its tables',
      () => ({ ORDER_DATABASE_URL: serviceUrl('order') }),
      [],
      /ORDER_MIGRATION_URL needs a role of its own/,
    ],
    [
      'an owner who is the administrator, whose rights it would take',
      () => ({ ...allUrls(), ORDER_MIGRATION_URL: server.adminUrl.replace(/\/postgres$/, '/db_order') }),
      [],
      /ORDER_MIGRATION_URL must not be of the administrator/,
    ],
    [
      'two passwords of one role',
      () => ({ ...allUrls(), ORDER_MIGRATION_URL: urlOf('commerce_migrator', 'other', 'db_order') }),
      [],
      /commerce_migrator has two passwords/,
    ],
    [
      'a database of another server',
      () => ({ ...allUrls(), ORDER_DATABASE_URL: serviceUrl('order').replace('127.0.0.1', 'db.example') }),
      [],
      /order: the URLs of order name another server than ADMIN_DATABASE_URL/,
    ],
    [
      'the seed in production',
      () => ({ ...allUrls(), NODE_ENV: 'production' }),
      ['--seed'],
      /--seed is for development/,
    ],
  ];
  for (const [what, env, args, reason] of refused) {
    it(`refuses ${what}, in one line and before it changes anything`, async () => {
      const { code, output } = await provision(env(), ...args);
      assert.equal(code, 1, output);
      assert.match(output, reason);
      assert.equal(output.split('\n').length, 1, output);
      assert.deepEqual(await databases(), []);
    });
  }

  it('makes everything with the passwords of the URLs, seeds once, and changes nothing the second time', async () => {
    const first = await provision(allUrls(), '--seed');
    assert.equal(first.code, 0, first.output);
    assert.match(first.output, /db_platform: created[^]*platform: applied[^]*\d+ users, \d+ products/);
    assert.deepEqual(await databases(), Object.values(DATABASE_NAMES).sort());
    for (const name of DATABASES) {
      const [row] = await query(serviceUrl(name), 'select current_database() as db, current_user as me');
      assert.deepEqual(row, { db: DATABASE_NAMES[name], me: `commerce_${name}` });
    }

    const second = await provision(allUrls(), '--seed');
    assert.equal(second.code, 0, second.output);
    assert.doesNotMatch(second.output, /created|applied/);
    assert.match(second.output, /holds data already/);
  });

  it('gives a role its new password when the URLs say another', async () => {
    const { code, output } = await provision(allUrls('commerce_migrator', 'rotated'));
    assert.equal(code, 0, output);
    const { order } = DATABASE_NAMES;
    assert.equal((await query(urlOf('commerce_migrator', 'rotated', order), 'select from orders')).length, 0);
    await assert.rejects(query(urlOf('commerce_migrator', 'm', order), 'select 1'), /password authentication failed/);
  });
});

describe('npm run provision on a managed server', () => {
  let folder: string;
  let server: EmbeddedPostgresServer;
  before(async () => {
    folder = await serverFolder();
    server = await startPostgres({ dataDir: folder, port: 0, settings: { fsync: 'off' } });
    await query(server.adminUrl, "create role manager login createrole createdb password 'managed'");
  });
  after(async () => {
    await server.stop();
    await rm(folder, { recursive: true, force: true });
  });

  it('needs no superuser: an administrator who may make roles and databases is enough, also the second time', async () => {
    const urlOf = (role: string, database: string): string => {
      const url = new URL(server.adminUrl);
      [url.username, url.password, url.pathname] = [role, role === 'manager' ? 'managed' : 'secret', `/${database}`];
      return url.href;
    };
    const env = {
      ...inheritedEnvironment(),
      ADMIN_DATABASE_URL: urlOf('manager', 'postgres'),
      ORDER_DATABASE_URL: urlOf('commerce_order', 'db_order'),
      ORDER_MIGRATION_URL: urlOf('order_owner', 'db_order'),
      // Not asked for, and on a server that does not exist.
      BUS_DATABASE_URL: 'postgresql://commerce_bus:secret@127.0.0.1:1/db_event_bus',
      BUS_MIGRATION_URL: 'postgresql://commerce_migrator:secret@127.0.0.1:1/db_event_bus',
    };
    for (const run of ['first', 'second']) {
      const args = ['--import', 'tsx', 'cli/provision.ts', 'order'];
      const { code, output } = await runCommand(process.execPath, args, COMMAND_LIMIT_MS, { env });
      assert.equal(code, 0, `${run}: ${output}`);
    }
    assert.equal((await query(urlOf('commerce_order', 'db_order'), 'select from orders')).length, 0);
    const [owner] = await query(
      server.adminUrl,
      `select r.rolname, r.rolsuper, r.rolcreatedb from pg_database d join pg_roles r on r.oid = d.datdba
       where d.datname = 'db_order'`,
    );
    assert.deepEqual(owner, { rolname: 'order_owner', rolsuper: false, rolcreatedb: false });
  });
});
