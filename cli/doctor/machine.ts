import { execFile } from 'node:child_process';
import { constants, existsSync } from 'node:fs';
import { access, readFile, statfs } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';

import type { Config } from '../../infra/config.ts';
import { isFree } from '../../infra/embedded/ports.ts';
import { choosePlace } from '../../infra/embedded/postgres-place.ts';
import { DEFAULT_PORTS } from '../../infra/embedded/supervisor/apps.ts';
import type { Endpoints } from '../../infra/endpoints.ts';
import { blocks, type Check, notice, ok, problem } from './check.ts';
import { listenerOn } from './listener.ts';

const run = promisify(execFile);
const ROOT = join(import.meta.dirname, '../..');
const OLDEST_NODE = [20, 19] as const;
const COMMAND_LIMIT_MS = 10_000;
/** PostgreSQL's write-ahead log alone may take 1 GB; below this a shop stops taking orders. Bytes. */
const LITTLE_SPACE = 2e9;
const TOO_LITTLE_SPACE = 5e8;

export function checkNode(version = process.versions.node): Check {
  const [major = 0, minor = 0] = version.split('.').map(Number);
  const enough = major > OLDEST_NODE[0] || (major === OLDEST_NODE[0] && minor >= OLDEST_NODE[1]);
  const wanted = OLDEST_NODE.join('.');
  return enough ? ok('Node', version) : blocks('Node', `${version} is too old`, `Install Node ${wanted} or newer.`);
}

export async function checkNpm(): Promise<Check> {
  try {
    const { stdout } = await run('npm', ['--version'], { timeout: COMMAND_LIMIT_MS });
    return ok('npm', stdout.trim());
  } catch (error) {
    const why = error instanceof Error ? (error.message.split('\n')[0] ?? '') : String(error);
    return problem('npm', `does not run: ${why}`, 'Install npm 10 or newer and put it on PATH.');
  }
}

/** Free space and write permission of DATA_DIR, or of the folder that it will be made in. */
export async function checkDataDir({ dataDir }: Pick<Config, 'dataDir'>): Promise<Check> {
  let folder = dataDir;
  while (!existsSync(folder)) folder = dirname(folder);
  const name = 'Data folder';
  try {
    await access(folder, constants.W_OK);
  } catch {
    return blocks(name, `${folder} cannot be written to`, 'Set DATA_DIR to a folder of yours.');
  }
  const { bavail, bsize } = await statfs(folder);
  const free = bavail * bsize;
  const detail = `${dataDir}, ${(free / 1e9).toFixed(1)} GB free`;
  const fix = 'Free some space, or set DATA_DIR to a folder on another disk.';
  if (free < TOO_LITTLE_SPACE) return blocks(name, detail, fix);
  return free < LITTLE_SPACE ? problem(name, detail, fix) : ok(name, detail);
}

type Lock = Readonly<{
  packages: Record<string, { version?: string; optional?: boolean; os?: string[]; cpu?: string[] }>;
}>;

/** Compares what npm installed with package-lock.json, version by version. */
export async function checkPackages(root = ROOT): Promise<Check> {
  const name = 'Packages';
  const fix = 'Run `npm ci`.';
  const installedFile = join(root, 'node_modules/.package-lock.json');
  if (!existsSync(installedFile)) return blocks(name, 'not installed', fix);
  const read = async (file: string) => JSON.parse(await readFile(file, 'utf8')) as Lock;
  const [wanted, installed] = await Promise.all([read(join(root, 'package-lock.json')), read(installedFile)]);
  const wrong = Object.entries(wanted.packages).filter(([path, { version, optional }]) => {
    const found = installed.packages[path];
    // Optional packages are for other platforms, or the user left them out.
    return path !== '' && (found === undefined ? optional !== true : found.version !== version);
  });
  const count = Object.keys(installed.packages).length;
  if (wrong.length === 0) return ok(name, `${count} installed, as package-lock.json says`);
  const examples = wrong.slice(0, 3).map(([path]) => path.replace(/^.*node_modules\//, ''));
  return blocks(name, `${wrong.length} differ from package-lock.json: ${examples.join(', ')}`, fix);
}

/** Runs the server program of the embedded PostgreSQL, which needs its libraries for that. */
export async function checkPostgresProgram({ dataDir, databaseUrls }: Config): Promise<Check> {
  const name = 'PostgreSQL program';
  if (Object.values(databaseUrls).some((url) => url !== undefined))
    return notice(name, 'not needed: databases are set');
  let folder = dataDir;
  while (!existsSync(folder)) folder = dirname(folder);
  const { nativeDir } = await choosePlace(folder);
  const { stdout } = await run(join(nativeDir, 'bin', 'postgres'), ['--version'], { timeout: COMMAND_LIMIT_MS });
  return ok(name, stdout.trim());
}

/** The ports that `npm start` would take. One that is taken blocks only when it was asked for. */
export async function checkPorts(config: Config, running: Endpoints | undefined): Promise<Check[]> {
  if (running !== undefined) return [notice('Ports', 'in use by the running system')];
  const ports = [
    ['API', 'PORT', config.ports.api, DEFAULT_PORTS.api],
    ['gateway', 'GATEWAY_PORT', config.ports.gateway, DEFAULT_PORTS.gateway],
    ['metrics', 'METRICS_PORT', config.ports.metrics, DEFAULT_PORTS.metrics],
    ['Temporal', 'TEMPORAL_PORT', config.ports.temporal, 7233],
    ['Temporal Web', 'TEMPORAL_UI_PORT', config.ports.temporalUi, 8233],
    ['PostgreSQL', 'POSTGRES_PORT', config.ports.postgres, 54_329],
  ] as const;
  return Promise.all(ports.map(([part, variable, asked, preferred]) => checkPort(part, variable, asked, preferred)));
}

async function checkPort(part: string, variable: string, asked: number | undefined, preferred: number): Promise<Check> {
  const port = asked ?? preferred;
  const name = `Port ${port}`;
  if (port === 0) return ok(`Port of ${part}`, 'any free one');
  if (await isFree(port)) return ok(name, `free (${part})`);
  const by = await listenerOn(port);
  const detail = `taken${by === undefined ? '' : ` by ${by}`} (${part})`;
  if (asked === undefined) return notice(name, `${detail}: a free one will be used`);
  return blocks(name, detail, `End what listens there, or set ${variable} to another port.`);
}
