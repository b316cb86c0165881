import { existsSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';

import { cacheFolder } from '../../infra/config.ts';
import { inWorkFolder, mustRun } from './test-server.ts';

const KAFKA_VERSION = '4.1.0';
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
export async function findKafka({
  cacheDir = cacheFolder(),
  report = () => undefined,
}: FindKafka = {}): Promise<string> {
  await mustRun('java', ['-version'], JAVA_LIMIT_MS);
  const folder = join(cacheDir, `kafka-${KAFKA_VERSION}`);
  if (!existsSync(folder)) await inWorkFolder(folder, downloadByMaven, report);
  return join(folder, 'lib', '*');
}

const downloadByMaven = async (folder: string, report: (line: string) => void): Promise<void> => {
  report(`Downloading Kafka ${KAFKA_VERSION} from Maven Central …`);
  const pom = [
    '<project xmlns="http://maven.apache.org/POM/4.0.0"><modelVersion>4.0.0</modelVersion>',
    '<groupId>commerce-saga</groupId><artifactId>kafka-broker</artifactId><version>1</version><dependencies>',
    '<dependency><groupId>org.apache.kafka</groupId><artifactId>kafka_2.13</artifactId>',
    `<version>${KAFKA_VERSION}</version></dependency></dependencies></project>`,
  ];
  await writeFile(join(folder, 'pom.xml'), pom.join('\n'));
  const maven = ['-q', '-B', '--strict-checksums', 'dependency:copy-dependencies', '-DincludeScope=runtime'];
  await mustRun('mvn', [...maven, '-DoutputDirectory=lib'], MAVEN_LIMIT_MS, folder);
};
