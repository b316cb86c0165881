import { randomBytes } from 'node:crypto';
import { existsSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { chown, mkdir, rename, rm } from 'node:fs/promises';
import { dirname, join, relative } from 'node:path';

import { inheritedEnvironment } from '../inherited-environment.ts';
import { runCommand } from './child.ts';
import { findLeftover, stopPostmaster } from './postgres-leftover.ts';
import { type Account, makeShared, type Place } from './postgres-place.ts';

const INIT_LIMIT_MS = 120_000;

/**
 * The superuser's password, made at the first start and kept in `<dataDir>/password`, for the owner's eyes only.
 *
 * Without that file nobody can log in. Data below `dataDir` are then left alone; data that had to be put elsewhere belong
 * to a `dataDir` that was deleted to start empty, so they are removed.
 *
 * @throws when the password of a cluster below `dataDir` is gone
 */
export async function passwordOf(dataDir: string, { clusterDir }: Place, log: (line: string) => void): Promise<string> {
  const file = join(dataDir, 'password');
  if (existsSync(file)) return readFileSync(file, 'utf8').trim();
  if (existsSync(clusterDir)) {
    if (!relative(dataDir, clusterDir).startsWith('..')) {
      throw new Error(`${file} is missing, so nobody can log in. Restore it, or delete ${dataDir} to start empty.`);
    }
    log(`${dataDir} is new, so the data in ${clusterDir} are removed.`);
    const leftover = await findLeftover({ clusterDir, password: '' });
    if (leftover !== undefined) await stopPostmaster(leftover.pid);
    await rm(clusterDir, { recursive: true });
  }
  const password = randomBytes(24).toString('base64url');
  writeFileSync(file, `${password}\n`, { mode: 0o600 });
  return password;
}

/**
 * What is a letter, for trigrams: `C` knows only those of ASCII, so a search for a Korean word would read every row. Which
 * of the others there is depends on the system.
 */
const CTYPES = ['C.UTF-8', 'en_US.UTF-8', 'C'] as const;

/**
 * Makes the cluster. It appears in its place when it is complete, so an interrupted first start leaves none behind.
 *
 * @throws with initdb's own message
 */
export async function initialise(place: Place, password: string): Promise<void> {
  const work = `${place.clusterDir}.new`;
  const passwordFile = join(work, 'password');
  const cluster = join(work, 'cluster');
  if (place.account !== undefined) await makeShared(dirname(place.clusterDir));
  await rm(work, { recursive: true, force: true });
  await mkdir(work, { mode: 0o700 });
  writeFileSync(passwordFile, password, { mode: 0o600 });
  if (place.account !== undefined) {
    const { uid, gid } = place.account;
    for (const path of [work, passwordFile]) await chown(path, uid, gid);
  }
  const args = ['-D', cluster, '--username=postgres', `--pwfile=${passwordFile}`, '--auth=scram-sha-256'];
  args.push('--encoding=UTF8', '--locale-provider=builtin', '--builtin-locale=C.UTF-8', '--locale=C');
  const initdb = join(place.nativeDir, 'bin', 'initdb');
  const options = { ...place.account, env: inheritedEnvironment(), cwd: '/' };
  for (const ctype of CTYPES) {
    const { code, signal, output } = await runCommand(initdb, [...args, `--lc-ctype=${ctype}`], INIT_LIMIT_MS, options);
    if (code === 0) break;
    if (code === null || ctype === 'C') {
      throw new Error(`initdb ended with ${signal ?? code}. Its last words: ${output.slice(-800)}`);
    }
  }
  await rename(cluster, place.clusterDir);
  await rm(work, { recursive: true });
}

/** Who the server has to run as: the owner of data that exist, whichever accounts the machine has got since. */
export function ownerOf({ account, clusterDir }: Place): Account | undefined {
  if (account === undefined) return undefined;
  const { uid, gid } = statSync(clusterDir);
  return uid === 0 ? account : { uid, gid };
}
