import { existsSync, readdirSync } from 'node:fs';
import { mkdir, mkdtemp, rename, rm, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';

import { cacheFolder } from '../../infra/config.ts';
import { runCommand } from '../../infra/embedded/child.ts';
import { firstOf } from './found.ts';

const TEST_SERVER_VERSION = '1.38.0';
const SLF4J_VERSION = '1.7.36';
const SDK_LIMIT_MS = 60_000;
const MAVEN_LIMIT_MS = 300_000;
const JAVA_LIMIT_MS = 20_000;

/** What to do on a machine that has none of the sources. */
export const TEST_SERVER_FIX =
  'connect to the internet once, or install Java 17 and Maven, or set TEMPORAL_TEST_SERVER_PATH to a temporal-test-server';

export type FindTestServer = Readonly<{
  /** TEMPORAL_TEST_SERVER_PATH: when it is set, nothing else is tried. */
  path?: string | undefined;
  /** Where downloads are kept; by default the user's cache folder. */
  cacheDir?: string;
  /** Told before each download. */
  report?: (line: string) => void;
}>;

/**
 * Finds Temporal's time-skipping test server: the one asked for, our cached copy, the SDK's download, Maven Central with
 * Java 17. Each download has a time limit; the next run finds it in the cache.
 *
 * @throws with every source and why it failed
 */
export async function findTestServer(options: FindTestServer = {}): Promise<string> {
  const { path, cacheDir = join(cacheFolder(), 'temporal-test-server'), report = () => undefined } = options;
  if (path !== undefined) {
    if (existsSync(path)) return path;
    throw new Error(`TEMPORAL_TEST_SERVER_PATH=${path} does not exist`);
  }
  const fromSdk = join(cacheDir, `sdk-${process.platform}-${process.arch}`);
  const fromMaven = join(cacheDir, `maven-${TEST_SERVER_VERSION}`);
  return firstOf([
    ['cached SDK download', () => Promise.resolve(sdkExecutable(fromSdk))],
    ['cached Maven download', () => mavenExecutable(fromMaven)],
    ['SDK download', () => inWorkFolder(fromSdk, downloadBySdk, report).then(sdkExecutable)],
    ['Maven Central', () => inWorkFolder(fromMaven, downloadByMaven, report).then(mavenExecutable)],
  ]);
}

type Download = (folder: string, report: (line: string) => void) => Promise<void>;

function sdkExecutable(folder: string): string {
  const file = existsSync(folder) ? readdirSync(folder).find((name) => name.startsWith('temporal')) : undefined;
  if (file === undefined) throw new Error(`there is none in ${folder}`);
  return join(folder, file);
}

/** The jars are of no use without a Java that runs them. */
async function mavenExecutable(folder: string): Promise<string> {
  const script = join(folder, 'temporal-test-server');
  if (!existsSync(script)) throw new Error(`there is none in ${folder}`);
  await mustRun('java', ['-version'], JAVA_LIMIT_MS);
  return script;
}

/** The SDK's download can be neither limited nor cancelled, so it runs in a process of its own. */
const downloadBySdk: Download = async (folder, report) => {
  report("Downloading Temporal's time-skipping test server through its SDK …");
  const program = `
    import { TestWorkflowEnvironment } from '@temporalio/testing';
    const executable = { type: 'cached-download', downloadDir: process.argv[1] };
    try {
      const started = await TestWorkflowEnvironment.createTimeSkipping({ server: { executable } });
      await started.teardown();
    } catch (error) {
      console.error(String(error?.message ?? error));
      process.exit(1);
    }`;
  const node = ['--input-type=module', '--eval', program, '--', folder];
  await mustRun(process.execPath, node, SDK_LIMIT_MS, import.meta.dirname);
};

/** Maven resolves the jars and checks their checksums; the script is what the SDK takes for the executable. */
const downloadByMaven: Download = async (folder, report) => {
  report(`Downloading Temporal's time-skipping test server ${TEST_SERVER_VERSION} from Maven Central …`);
  await mustRun('java', ['-version'], JAVA_LIMIT_MS);
  const dependency = (group: string, artifact: string, version: string) =>
    `<dependency><groupId>${group}</groupId><artifactId>${artifact}</artifactId><version>${version}</version></dependency>`;
  const pom = [
    '<project xmlns="http://maven.apache.org/POM/4.0.0"><modelVersion>4.0.0</modelVersion>',
    '<groupId>commerce-saga</groupId><artifactId>test-server</artifactId><version>1</version><dependencies>',
    dependency('io.temporal', 'temporal-test-server', TEST_SERVER_VERSION),
    dependency('org.slf4j', 'slf4j-nop', SLF4J_VERSION),
    '</dependencies></project>',
  ].join('\n');
  await writeFile(join(folder, 'pom.xml'), pom);
  const maven = ['-q', '-B', '--strict-checksums', 'dependency:copy-dependencies', '-DincludeScope=runtime'];
  await mustRun('mvn', [...maven, '-DoutputDirectory=lib'], MAVEN_LIMIT_MS, folder);
  // Compiling little makes it start in a second instead of three.
  const script = `#!/bin/sh
DIR="$(cd "$(dirname "$0")" && pwd)/lib"
exec java -XX:TieredStopAtLevel=1 -cp "$DIR/*" io.temporal.testserver.TestServer "$@"
`;
  await writeFile(join(folder, 'temporal-test-server'), script, { mode: 0o755 });
};

/** A folder beside the target, so that the last step is a rename: nobody ever sees half a download. */
export async function inWorkFolder(
  target: string,
  download: Download,
  report: (line: string) => void,
): Promise<string> {
  await mkdir(dirname(target), { recursive: true });
  const folder = await mkdtemp(`${target}.`);
  try {
    await download(folder, report);
    // Another process may have been faster; its copy is as good as ours.
    if (!existsSync(target)) await rename(folder, target);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
  return target;
}

export async function mustRun(command: string, args: readonly string[], limitMs: number, cwd?: string): Promise<void> {
  const { code, signal, output } = await runCommand(command, args, limitMs, cwd === undefined ? {} : { cwd });
  if (signal === 'SIGKILL') throw new Error(`${command} did not end within ${limitMs / 1_000} s`);
  if (code !== 0) throw new Error(output.split('\n').at(-1) ?? `${command} ended with ${code}`);
}
