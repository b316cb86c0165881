import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import type { Check } from '../../cli/doctor/check.ts';
import { checkNode, checkPackages } from '../../cli/doctor/machine.ts';
import { freePort } from '../../infra/embedded/ports.ts';
import { inheritedEnvironment } from '../../infra/inherited-environment.ts';

describe('npm run doctor', () => {
  let folder: string;
  before(() => (folder = mkdtempSync(join(tmpdir(), 'doctor-'))));
  after(() => rmSync(folder, { recursive: true, force: true }));

  const doctor = (env: Record<string, string>, ...args: string[]): Promise<{ code: number; output: string }> =>
    new Promise((resolve) => {
      const options = { env: { ...inheritedEnvironment(), DATA_DIR: folder, ...env } };
      const child = execFile(process.execPath, ['--import', 'tsx', 'cli/doctor.ts', ...args], options, (_error, out) =>
        resolve({ code: child.exitCode ?? -1, output: out }),
      );
    });

  it('finds everything in order on this machine when nothing runs', async () => {
    const { code, output } = await doctor({ PORT: '0' }, '--json');
    const { checks } = JSON.parse(output) as { checks: Check[] };
    assert.deepEqual(
      checks.filter(({ status }) => status === 'problem' || status === 'blocks'),
      [],
    );
    assert.equal(code, 0);
  });

  it('names what blocks the start and how to repair it, and ends with 1', async () => {
    const taken = createServer().listen(0, '127.0.0.1');
    await once(taken, 'listening');
    const address = taken.address();
    assert.ok(address !== null && typeof address === 'object');
    try {
      const nobody = await freePort();
      const { code, output } = await doctor({
        PORT: String(address.port),
        ORDER_DATABASE_URL: 'postgresql://order@127.0.0.1:1/db_order',
        TEMPORAL_ADDRESS: '127.0.0.1:1',
        GATEWAY_URL: `http://127.0.0.1:${nobody}`,
      });
      assert.equal(code, 1);
      assert.match(
        output,
        new RegExp(`problem {2}Port ${address.port}: taken by .*\\(pid ${process.pid}\\).*\\n.*set PORT`),
      );
      assert.match(output, /problem {2}Databases: ORDER_DATABASE_URL set, but not PLATFORM_DATABASE_URL/);
      assert.match(output, /problem {2}Temporal: 127\.0\.0\.1:1 does not answer/);
      assert.match(output, /problem {2}Payment gateway: .* does not answer: .*ECONNREFUSED/);
    } finally {
      taken.close();
    }
  });

  it('tells an old Node and missing packages', async () => {
    assert.equal(checkNode('20.18.9').status, 'blocks');
    assert.equal(checkNode('22.1.0').status, 'ok');
    const { status, fix } = await checkPackages(folder);
    assert.deepEqual([status, fix], ['blocks', 'Run `npm ci`.']);
  });
});
