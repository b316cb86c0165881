import assert from 'node:assert/strict';
import { chmod, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { findRedis } from '../support/redis-server.ts';

describe('finding a Redis server', function () {
  this.timeout(60_000);
  let folder: string;
  /** A program that claims to be this version. */
  const program = async (name: string, version: string): Promise<string> => {
    const path = join(folder, name, 'redis-server');
    await mkdir(join(folder, name));
    await writeFile(path, `#!/bin/sh\necho Redis server v=${version} sha=00000000:0 malloc=libc bits=64\n`);
    await chmod(path, 0o755);
    return path;
  };

  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'find-redis-'));
  });
  afterEach(() => rm(folder, { recursive: true, force: true }));

  it('takes the one that was asked for, and nothing else when that is missing or too old', async () => {
    const right = await program('right', '7.0.15');
    const old = await program('old', '4.0.14');
    assert.equal(await findRedis({ path: right }), right);
    await assert.rejects(findRedis({ path: old, searchPath: join(folder, 'right') }), /it is no Redis 5 or later/);
    await assert.rejects(findRedis({ path: join(folder, 'none') }), /REDIS_SERVER_PATH=.*there is none/);
  });

  it('takes one on PATH that is new enough', async () => {
    const right = await program('right', '5.0.0');
    assert.equal(await findRedis({ searchPath: `/nowhere:${join(folder, 'right')}`, cacheDir: folder }), right);
  });

  it('takes the unpacked copy instead of one on PATH that is too old', async () => {
    await program('old', '4.0.14');
    const unpacked = await program(`debian-${process.arch}`, '8.0.2');
    assert.equal(await findRedis({ searchPath: join(folder, 'old'), cacheDir: folder }), unpacked);
  });
});
