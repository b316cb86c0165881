import { appendFileSync } from 'node:fs';
import { chmod, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { readConfig } from '../../infra/config.ts';
import { type EmbeddedPostgresServer, startPostgres } from '../../infra/embedded/postgres.ts';
import { findTemporalCli } from '../../infra/embedded/temporal-cli.ts';
import { type EmbeddedTemporalServer, startTemporal } from '../../infra/embedded/temporal-server.ts';

const running: { stop: () => Promise<void> }[] = [];
let postgres: Promise<EmbeddedPostgresServer> | undefined;
let temporal: Promise<EmbeddedTemporalServer> | undefined;

/** The PostgreSQL of this mocha process, started by whoever asks first. Its data do not outlive the process. */
export const postgresServer = (): Promise<EmbeddedPostgresServer> => (postgres ??= freshPostgres());

/** The Temporal of this mocha process, with Temporal Web off, started by whoever asks first. */
export const temporalServer = (): Promise<EmbeddedTemporalServer> => (temporal ??= freshTemporal());

/** The CLI's path, for tests that start a Temporal of their own. Says on the console when it has to download it. */
export async function temporalCliPath(): Promise<string> {
  const { temporalCliPath } = readConfig();
  return (await findTemporalCli({ temporalCliPath, report: (line) => process.stderr.write(`${line}\n`) })).path;
}

/** A folder that every account can enter, as a server that must not run as root needs it. Remove it afterwards. */
export async function serverFolder(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'commerce-saga-test-'));
  await chmod(folder, 0o755);
  return folder;
}

/** Ends what was started here, all of it even if one part fails. Called once per process by the root hooks. */
export async function stopServers(): Promise<void> {
  await Promise.allSettled([postgres, temporal]);
  const ends = await Promise.allSettled(running.splice(0).map((server) => server.stop()));
  const failures = ends.filter((end) => end.status === 'rejected').map((end): unknown => end.reason);
  if (failures.length > 0) throw new AggregateError(failures, 'Not every test server could be stopped.');
}

async function freshPostgres(): Promise<EmbeddedPostgresServer> {
  const folder = await serverFolder();
  // Nothing here has to survive a power cut, and two cores are better used for the tests.
  // Measurements ask it when what was committed.
  const settings = { fsync: 'off', max_connections: '400', track_commit_timestamp: 'on' };
  const server = await startPostgres({ dataDir: folder, port: 0, settings });
  return owned(server, folder);
}

async function freshTemporal(): Promise<EmbeddedTemporalServer> {
  const folder = await serverFolder();
  const server = await startTemporal({
    cliPath: await temporalCliPath(),
    dbFile: join(folder, 'temporal.db'),
    port: 0,
    uiPort: false,
  });
  return owned(server, folder);
}

/** The runner ends what is noted here and still runs when this process was killed before it could end it by itself. */
export function noteServer({ pid }: Readonly<{ pid: number }>, folder: string): void {
  const noteFile = process.env['TEST_SERVERS_FILE'];
  if (noteFile !== undefined) appendFileSync(noteFile, `${JSON.stringify({ pid, folder })}\n`);
}

/** Has a server that was started elsewhere, and that cleans up by itself, stopped with the others. */
export const stopAtEnd = (server: Readonly<{ stop: () => Promise<void> }>): void => void running.push(server);

function owned<Server extends { pid: number; stop: () => Promise<void> }>(server: Server, folder: string): Server {
  noteServer(server, folder);
  running.push({ stop: () => server.stop().then(() => rm(folder, { recursive: true, force: true })) });
  return server;
}
