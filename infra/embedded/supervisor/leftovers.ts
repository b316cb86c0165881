import { endsWithin, processesWith, type ProcessIdentity, signal } from './process-identity.ts';
import { livingOf, type RunRecord } from './run-record.ts';

/** Beyond the grace for work in hand, milliseconds. */
const MARGIN_MS = 10_000;
const SERVER_LIMIT_MS = 15_000;
const QUIET_MS = 500;

export type LeftoverOptions = Readonly<{
  /** What our own processes may take to finish a charge that is in flight, milliseconds. */
  graceMs: number;
  /** Fragments of the command line that only a server on our data has: it is ours even when nobody wrote it down. */
  servers: Readonly<Partial<Record<'postgres' | 'temporal', readonly string[]>>>;
  say: (line: string) => void;
}>;

/**
 * Ends what a killed run has left: first our own processes, which drain by themselves once the supervisor is gone,
 * then the servers below them.
 *
 * @throws Error when one cannot be ended: two servers on one data directory would destroy it
 */
export async function endLeftovers(record: RunRecord | undefined, options: LeftoverOptions): Promise<void> {
  const { graceMs, say } = options;
  const { ours, reused } = record === undefined ? { ours: [], reused: [] } : livingOf(record);
  for (const name of reused) say(`the pid of ${name} of the killed run belongs to another program now: left alone`);

  const unrecorded = Object.entries(options.servers).flatMap(([name, fragments]) =>
    processesWith(fragments).map((found) => [name, found] as const),
  );
  const servers = ours.filter(([name]) => isServer(name));
  const known = new Set(servers.map(([, { pid }]) => pid));
  const children = ours.filter(([name]) => !isServer(name));

  await Promise.all(children.map(([name, found]) => endChild(name, found, graceMs + MARGIN_MS, say)));
  for (const [name, found] of [...servers, ...unrecorded.filter(([, { pid }]) => !known.has(pid))]) {
    say(`ending ${name} (pid ${found.pid}), left by a run that was killed`);
    await endServer(name, found);
  }
}

const isServer = (name: string): boolean => name === 'postgres' || name === 'temporal';

/** It drains already. A signal would cut that short, so it only comes when the time is over. */
async function endChild(name: string, found: ProcessIdentity, limitMs: number, say: (line: string) => void) {
  if (await endsWithin(found, QUIET_MS)) return;
  say(`${name} (pid ${found.pid}) of a killed run finishes its work; waiting up to ${limitMs / 1000} s`);
  if (await endsWithin(found, limitMs)) return;
  signal(found.pid, 'SIGKILL');
  await mustEnd(name, found);
}

async function endServer(name: string, found: ProcessIdentity): Promise<void> {
  // PostgreSQL: fast shutdown, then immediate. SIGKILL would leave its shared memory behind.
  const [gentle, hard] = name === 'postgres' ? (['SIGINT', 'SIGQUIT'] as const) : (['SIGTERM', 'SIGKILL'] as const);
  signal(found.pid, gentle);
  if (await endsWithin(found, SERVER_LIMIT_MS)) return;
  signal(found.pid, hard);
  await mustEnd(name, found);
}

async function mustEnd(name: string, found: ProcessIdentity): Promise<void> {
  if (await endsWithin(found, SERVER_LIMIT_MS)) return;
  throw new Error(`${name} (pid ${found.pid}), left by a killed run, does not end: end it by hand, then start again.`);
}
