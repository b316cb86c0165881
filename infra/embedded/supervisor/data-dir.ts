import { existsSync, mkdirSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

import { StartFailed } from './part.ts';

/** Marks a folder as ours: only such a folder is ever emptied. */
const MARKER = '.commerce-saga';
const MARKER_TEXT = 'This folder belongs to commerce-saga: `npm start -- --reset` deletes everything in it.\n';

/** What commands may have made before the first start. */
const MADE_EARLIER = new Set(['jwt', 'cache', 'logs']);

/**
 * Makes the folder, and marks it as ours. Repeating it does no harm.
 *
 * @throws StartFailed when somebody else's files are in it: a later `--reset` would delete them
 */
export function prepareDataDir(dataDir: string): void {
  mkdirSync(dataDir, { recursive: true });
  if (existsSync(join(dataDir, MARKER))) return;
  const foreign = readdirSync(dataDir).filter((name) => !MADE_EARLIER.has(name));
  if (foreign.length > 0) {
    throw new StartFailed(
      `DATA_DIR=${dataDir} holds files that are not ours (${foreign.slice(0, 3).join(', ')}): set DATA_DIR to an empty folder.`,
    );
  }
  writeFileSync(join(dataDir, MARKER), MARKER_TEXT);
}

/** Deletes everything in a folder that `prepareDataDir` has accepted, except the named entries. */
export function emptyDataDir(dataDir: string, keep: readonly string[]): void {
  if (!existsSync(join(dataDir, MARKER))) throw new StartFailed(`${dataDir} is not marked as ours: not emptied.`);
  const kept = new Set([MARKER, ...keep]);
  for (const name of readdirSync(dataDir)) {
    if (!kept.has(name)) rmSync(join(dataDir, name), { recursive: true, force: true });
  }
}
