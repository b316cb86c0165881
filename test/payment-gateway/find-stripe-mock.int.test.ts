import assert from 'node:assert/strict';
import { chmod, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { findStripeMock } from '../support/stripe-mock.ts';

describe('finding stripe-mock', function () {
  this.timeout(60_000);
  let folder: string;
  /** A program that claims to be this version. */
  const program = async (name: string, version: string): Promise<string> => {
    const path = join(folder, name, 'stripe-mock');
    await mkdir(join(folder, name));
    await writeFile(path, `#!/bin/sh\necho stripe-mock ${version}\n`);
    await chmod(path, 0o755);
    return path;
  };

  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'find-stripe-mock-'));
  });
  afterEach(() => rm(folder, { recursive: true, force: true }));

  it('takes the one that was asked for, and nothing else when that is missing or of another version', async () => {
    const right = await program('right', '0.203.0');
    const wrong = await program('wrong', '0.202.0');
    assert.equal(await findStripeMock({ path: right }), right);
    await assert.rejects(findStripeMock({ path: wrong, searchPath: join(folder, 'right') }), /it is not version/);
    await assert.rejects(findStripeMock({ path: join(folder, 'none') }), /there is none/);
  });

  it('takes one on PATH of the right version', async () => {
    const right = await program('right', '0.203.0');
    assert.equal(await findStripeMock({ searchPath: `/nowhere:${join(folder, 'right')}`, cacheDir: folder }), right);
  });

  it('takes the cached copy instead of one on PATH of another version', async () => {
    await program('wrong', '0.202.0');
    const cached = await program(`v0.203.0-${process.platform}-${process.arch}`, '0.203.0');
    assert.equal(await findStripeMock({ searchPath: join(folder, 'wrong'), cacheDir: folder }), cached);
  });
});
