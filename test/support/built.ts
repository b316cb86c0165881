import { cpSync, mkdtempSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';

import { runCommand } from '../../infra/embedded/child.ts';

const BUILD_LIMIT_MS = 5 * 60_000;

let built: Promise<string> | undefined;

/**
 * A folder as the image has it: `dist`, package.json and node_modules, and no sources. Built once per mocha process and
 * removed at its end. Give it a time limit of minutes: it compiles everything.
 */
export const builtFolder = (): Promise<string> => (built ??= build());

async function build(): Promise<string> {
  const folder = mkdtempSync(join(tmpdir(), 'commerce-saga-test-'));
  process.once('exit', () => rmSync(folder, { recursive: true, force: true }));
  cpSync('package.json', join(folder, 'package.json'));
  symlinkSync(resolve('node_modules'), join(folder, 'node_modules'));
  const args = ['--import', 'tsx', 'scripts/build.ts', join(folder, 'dist')];
  const { code, output } = await runCommand(process.execPath, args, BUILD_LIMIT_MS);
  if (code !== 0) throw new Error(`the build ended with ${code ?? 'a signal'}:\n${output}`);
  return folder;
}
