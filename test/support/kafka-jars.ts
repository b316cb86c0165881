import { existsSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';

import { cacheFolder } from '../../infra/config.ts';
import { inWorkFolder, mustRun } from './test-server.ts';

const KAFKA_VERSION = '4.1.0';
const DEBEZIUM_VERSION = '3.3.1.Final';
const MAVEN_LIMIT_MS = 300_000;
const JAVA_LIMIT_MS = 20_000;

/** What to do on a machine that has neither the jars nor what fetches them. */
export const KAFKA_FIX = 'install Java 17 and Maven, and connect to the internet once';

export type FindKafka = Readonly<{
  /** Where the jars are kept; by default the user's cache folder. */
  cacheDir?: string;
  /** Told before a download. */
  report?: (line: string) => void;
}>;

/**
 * The class path of a Kafka broker: our cached copy, or Maven Central, whose checksums Maven checks. A download has a
 * time limit; the next run finds it in the cache.
 *
 * @throws when there is no Java, or no copy and no way to make one
 */
export const findKafka = (options: FindKafka = {}): Promise<string> =>
  findJars({ name: `kafka-${KAFKA_VERSION}`, artifacts: [['org.apache.kafka', 'kafka_2.13', KAFKA_VERSION]] }, options);

/** The class path of Kafka Connect with Debezium's connector for PostgreSQL, found like the broker's. */
export const findDebezium = (options: FindKafka = {}): Promise<string> =>
  findJars(
    {
      name: `debezium-${DEBEZIUM_VERSION}`,
      artifacts: [
        ['io.debezium', 'debezium-connector-postgres', DEBEZIUM_VERSION],
        ['org.apache.kafka', 'connect-runtime', KAFKA_VERSION],
      ],
    },
    options,
  );

type Jars = Readonly<{
  name: string;
  artifacts: readonly (readonly [group: string, artifact: string, version: string])[];
}>;

async function findJars(
  jars: Jars,
  { cacheDir = cacheFolder(), report = () => undefined }: FindKafka,
): Promise<string> {
  await mustRun('java', ['-version'], JAVA_LIMIT_MS);
  const folder = join(cacheDir, jars.name);
  if (!existsSync(folder)) await inWorkFolder(folder, (work) => downloadByMaven(work, jars, report), report);
  return join(folder, 'lib', '*');
}

async function downloadByMaven(
  folder: string,
  { name, artifacts }: Jars,
  report: (line: string) => void,
): Promise<void> {
  report(`Downloading ${name} from Maven Central …`);
  const dependencies = artifacts.map(
    ([group, artifact, version]) =>
      `<dependency><groupId>${group}</groupId><artifactId>${artifact}</artifactId><version>${version}</version></dependency>`,
  );
  const pom = [
    '<project xmlns="http://maven.apache.org/POM/4.0.0"><modelVersion>4.0.0</modelVersion>',
    `<groupId>commerce-saga</groupId><artifactId>jars</artifactId><version>1</version>`,
    `<dependencies>${dependencies.join('')}</dependencies></project>`,
  ];
  await writeFile(join(folder, 'pom.xml'), pom.join('\n'));
  const maven = ['-q', '-B', '--strict-checksums', 'dependency:copy-dependencies', '-DincludeScope=runtime'];
  await mustRun('mvn', [...maven, '-DoutputDirectory=lib'], MAVEN_LIMIT_MS, folder);
}
