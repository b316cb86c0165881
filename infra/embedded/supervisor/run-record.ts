import { existsSync, linkSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

import { v7 } from 'uuid';
import { z } from 'zod';

import { identify, type ProcessIdentity, processIdentitySchema, stillRuns } from './process-identity.ts';

/** File of DATA_DIR that says who runs on it. It is the lock too: whoever makes it has the folder. */
export const RUN_FILE = 'run.json';

const recordSchema = z.object({
  runId: z.string(),
  supervisor: processIdentitySchema,
  /** Every process of the run by name, written down the moment it exists. */
  processes: z.record(z.string(), processIdentitySchema),
});
export type RunRecord = z.infer<typeof recordSchema>;

/** Thrown when another `npm start` has the folder. */
export class AlreadyRunning extends Error {
  readonly pid: number;
  constructor(pid: number) {
    super(`process ${pid} already runs the system on`);
    this.pid = pid;
  }
}

/** This run's hold on DATA_DIR. */
export type Claim = Readonly<{
  /** What a killed run has left behind, undefined after a clean stop. */
  leftover: RunRecord | undefined;
  /** Writes a process down, replacing the one of that name. */
  record: (name: string, pid: number) => void;
  /** Lets the folder go. */
  release: () => void;
}>;

/**
 * Takes the folder for this process; of several that try at once one gets it.
 *
 * @throws AlreadyRunning when a living process has it
 */
export function claimDataDir(dataDir: string): Claim {
  const file = join(dataDir, RUN_FILE);
  const supervisor = identify(process.pid);
  if (supervisor === undefined) throw new Error('this system does not tell which process we are (no /proc, no ps)');
  const mine: RunRecord = { runId: v7(), supervisor, processes: {} };

  const leftover = take(file, mine);
  let record = mine;
  return {
    leftover,
    record(name, pid) {
      const found = identify(pid);
      if (found === undefined) return; // it has ended already
      record = { ...record, processes: { ...record.processes, [name]: found } };
      const draft = draftOf(file, record);
      renameSync(draft, file);
    },
    release: () => rmSync(file, { force: true }),
  };
}

function take(file: string, mine: RunRecord): RunRecord | undefined {
  const draft = draftOf(file, mine);
  try {
    const before = existsSync(file) ? read(file) : undefined;
    if (before !== undefined && stillRuns(before.supervisor)) throw new AlreadyRunning(before.supervisor.pid);
    if (existsSync(file)) removeDead(file, before);
    link(draft, file);
    return before;
  } finally {
    rmSync(draft, { force: true });
  }
}

/** Moves the dead record away, unless another start has just replaced it by its own. */
function removeDead(file: string, dead: RunRecord | undefined): void {
  const aside = `${file}.${process.pid}.dead`;
  renameSync(file, aside);
  const moved = read(aside);
  if (moved !== undefined && moved.runId !== dead?.runId) {
    link(aside, file);
    rmSync(aside);
    throw new AlreadyRunning(moved.supervisor.pid);
  }
  rmSync(aside);
}

function link(from: string, file: string): void {
  try {
    linkSync(from, file);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
    throw new AlreadyRunning(read(file)?.supervisor.pid ?? 0);
  }
}

function draftOf(file: string, record: RunRecord): string {
  const draft = `${file}.${process.pid}`;
  writeFileSync(draft, `${JSON.stringify(record, null, 2)}\n`, { mode: 0o600 });
  return draft;
}

/** What the file says; undefined when there is none. A file that cannot be read counts as left by nobody. */
function read(file: string): RunRecord | undefined {
  if (!existsSync(file)) return undefined;
  try {
    return recordSchema.parse(JSON.parse(readFileSync(file, 'utf8')));
  } catch (error) {
    if (error instanceof SyntaxError || error instanceof z.ZodError) return undefined; // cut off by a full disk
    throw error;
  }
}

/** Processes of a record that live, and pids that now belong to other programs. */
export function livingOf(record: RunRecord): Readonly<{ ours: [string, ProcessIdentity][]; reused: string[] }> {
  const entries = Object.entries(record.processes);
  const ours = entries.filter(([, identity]) => stillRuns(identity));
  const reused = entries.filter(([, was]) => !stillRuns(was) && identify(was.pid) !== undefined);
  return { ours, reused: reused.map(([name, { pid }]) => `${name} (pid ${pid})`) };
}
