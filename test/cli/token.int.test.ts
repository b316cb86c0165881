import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { readConfig } from '../../infra/config.ts';
import { tokenVerifier } from '../../infra/tokens.ts';

describe('npm run token', function () {
  this.timeout(60_000);
  let dataDir: string;
  before(async () => {
    dataDir = await mkdtemp(join(tmpdir(), 'commerce-saga-token-'));
  });
  after(() => rm(dataDir, { recursive: true }));

  const token = (args: readonly string[], more: Readonly<Record<string, string>> = {}) =>
    new Promise<{ failed: boolean; stdout: string; stderr: string }>((resolve) => {
      const env = { PATH: process.env['PATH'], DATA_DIR: dataDir, ...more };
      execFile(process.execPath, ['--import', 'tsx', 'cli/token.ts', ...args], { env }, (error, stdout, stderr) => {
        resolve({ failed: error !== null, stdout, stderr });
      });
    });

  it('prints a token that the API believes, and nothing else', async () => {
    const { stdout, stderr } = await token(['--sub', '7', '--role', 'admin', '--expires', '5m']);
    assert.match(stdout, /^[\w-]+\.[\w-]+\.[\w-]+\n$/, stderr);
    const verify = await tokenVerifier(readConfig({ DATA_DIR: dataDir }));
    const { id, role } = await verify(stdout.trim());
    assert.deepEqual({ id, role }, { id: '7', role: 'admin' });
  });

  it('refuses what cannot be in a token, in one line', async () => {
    for (const args of [[], ['--sub', '0'], ['--sub', '7', '--role', 'root'], ['--sub', '7', '--expires', 'soon']]) {
      const { failed, stdout, stderr } = await token(args);
      assert.ok(failed && stdout === '', args.join(' '));
      assert.match(stderr, /^error: .+\n$/);
    }
  });

  it('refuses to sign where an identity provider does', async () => {
    const { failed, stderr } = await token(['--sub', '7'], { JWKS_URL: 'https://identity.example/jwks' });
    assert.ok(failed);
    assert.match(stderr, /^token: JWKS_URL is set: .+\n$/);
  });
});
