import assert from 'node:assert/strict';
import { existsSync, readdirSync } from 'node:fs';
import { cp, mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';

import { DATABASES } from '../../infra/config.ts';
import { runCommand } from '../../infra/embedded/child.ts';
import { inheritedEnvironment } from '../../infra/inherited-environment.ts';
import { builtFolder } from '../support/built.ts';
import { query, scratchDatabase } from '../support/databases.ts';

const BUILD_LIMIT_MS = 6 * 60_000;
const COMMAND_LIMIT_MS = 60_000;

describe('npm run build', () => {
  let folder: string;
  before(async function () {
    this.timeout(BUILD_LIMIT_MS);
    folder = await builtFolder();
  });

  const node = (args: readonly string[], env: Record<string, string> = {}, cwd = folder) =>
    runCommand(process.execPath, args, COMMAND_LIMIT_MS, { cwd, env: { ...inheritedEnvironment(), ...env } });

  it('leaves neither TypeScript nor tests in the folder, and every migration', () => {
    const files = readdirSync(join(folder, 'dist'), { recursive: true }).map(String);
    assert.deepEqual(
      files.filter((file) => file.endsWith('.ts') || /^(test|scripts)\b/.test(file)),
      [],
    );
    for (const name of DATABASES) {
      const migrations = readdirSync(join('prisma', name, 'migrations'), { recursive: true }).sort();
      assert.deepEqual(
        readdirSync(join(folder, 'dist', 'prisma', name, 'migrations'), { recursive: true }).sort(),
        migrations,
      );
    }
  });

  for (const program of ['api/server', 'gateway/server', 'workers/main', 'cli/migrate', 'cli/provision', 'cli/seed']) {
    it(`makes dist/${program}.js, which loads all its modules without a loader`, async () => {
      // A value that is refused: every module is loaded before the settings are read, and nothing is started.
      const { code, output } = await node([`dist/${program}.js`], { LOG_LEVEL: 'loud' });
      assert.equal(code, 1, output);
      assert.match(output, /^These environment variables cannot be used:\n {2}LOG_LEVEL: /);
    });
  }

  it('makes a migrate that finds its migrations and its engine', async () => {
    const { url, drop } = await scratchDatabase();
    try {
      const { code, output } = await node(['dist/cli/migrate.js', 'order'], { ORDER_MIGRATION_URL: url });
      assert.equal(code, 0, output);
      assert.match(output, /^order: applied \d+_initial/);
      assert.deepEqual(await query(url, 'select count(*)::int as orders from orders'), [{ orders: 0 }]);
      const again = await node(['dist/cli/migrate.js', 'order', '--check'], { ORDER_MIGRATION_URL: url });
      assert.deepEqual([again.code, again.output], [0, 'order: up to date']);
    } finally {
      await drop();
    }
  });

  it('gives built workers the bundle, and lets sources run themselves although an old build lies beside them', async () => {
    const code = (file: string) =>
      `import { workflowCode } from ${JSON.stringify(file)}; console.log(JSON.stringify(workflowCode()));`;
    const built = await node(['--input-type=module', '--eval', code('./dist/workers/temporal-worker.js')]);
    const dist = join(folder, 'dist', 'workflow-bundle.js');
    assert.deepEqual(JSON.parse(built.output), { workflowBundle: { codePath: dist } });

    // A clone of its own, so that nothing is written into this one.
    const clone = await mkdtemp(join(tmpdir(), 'commerce-saga-test-'));
    try {
      await symlink(resolve('node_modules'), join(clone, 'node_modules'));
      for (const path of ['package.json', 'workers', 'workflows', 'infra', 'domain', 'events']) {
        await cp(path, join(clone, path), { recursive: true });
      }
      await mkdir(join(clone, 'dist', 'workers'), { recursive: true });
      for (const stale of ['workflow-bundle.js', 'workers/temporal-worker.js']) {
        await writeFile(join(clone, 'dist', stale), "throw new Error('stale');");
      }
      const eager = ['--import', 'tsx', '--input-type=module', '--eval', code('./workers/temporal-worker.ts')];
      const source = await node(eager, {}, clone);
      assert.deepEqual(JSON.parse(source.output), { workflowsPath: join(clone, 'workflows', 'index.ts') });
    } finally {
      await rm(clone, { recursive: true, force: true });
    }
  });

  it('refuses to build into a folder that is there already, and leaves it alone', async () => {
    const { code, output } = await node(['--import', 'tsx', 'scripts/build.ts', folder], {}, resolve('.'));
    assert.equal(code, 1);
    assert.match(output, /is there already/);
    assert.ok(existsSync(join(folder, 'dist', 'workflow-bundle.js')));
  });
});
