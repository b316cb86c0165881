import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { hostname } from 'node:os';
import { join, resolve } from 'node:path';
import { promisify } from 'node:util';

import { Command, Option } from 'commander';

import { historyToJson } from '../../infra/temporal-history.ts';
import {
  CASE_NAMES,
  type CaseName,
  currentRelease,
  fileOf,
  HISTORIES,
  MOST_EVENTS,
  type RecordedHistory,
} from '../support/histories.ts';
import { quietRuntime } from '../support/quiet-runtime.ts';
import { runningSaga } from '../support/running-saga.ts';
import { stopServers } from '../support/servers.ts';
import { WorkflowBench } from '../support/workflow-bench.ts';
import { FAKE_CASES, type FakeCaseName } from './fake-cases.ts';
import { type Played, playReal, REAL_CASES, type RealCaseName } from './real-cases.ts';

const ROOT = resolve(HISTORIES, '../..');
const CASES = { ...REAL_CASES, ...FAKE_CASES } as const satisfies Readonly<Record<CaseName, { ends: string }>>;

const command = new Command('npm run histories:record --')
  .description(
    'Plays workflows on a real Temporal and keeps their histories: every later workflow code must replay them. ' +
      'Two minutes for all: two of them wait until a service was down for too long.',
  )
  .addOption(new Option('--case <name...>', 'only these').choices(CASE_NAMES))
  .option('--force', 'replace the files of a version that is not released yet', false)
  .addHelpText('after', '\nExample:\n  npm run histories:record -- --case paid --force')
  .parse();
const { case: names = CASE_NAMES, force } = command.opts<{ case?: CaseName[]; force: boolean }>();

const version = currentRelease();
const pathOf = (name: CaseName): string => join(HISTORIES, fileOf(name, version));
await mustBeReplaceable();

quietRuntime();
try {
  // One after the other: both have workers on the same task queues.
  await recordReal(names.filter((name) => name in REAL_CASES) as RealCaseName[]);
  await recordFake(names.filter((name) => name in FAKE_CASES) as FakeCaseName[]);
} finally {
  await stopServers();
}

/** A recorded history is a promise to sagas that run somewhere: it is never replaced once its version is out. */
async function mustBeReplaceable(): Promise<void> {
  const there = names.map(pathOf).filter((file) => existsSync(file));
  if (there.length === 0) return;
  const { stdout } = await promisify(execFile)('git', ['tag', '--list', `v${version}`], { cwd: ROOT });
  const files = there.join(', ');
  if (stdout.trim() !== '') command.error(`v${version} is released: its histories stay as they are (${files})`);
  if (!force) command.error(`already recorded; --force replaces it: ${files}`);
}

async function recordReal(wanted: readonly RealCaseName[]): Promise<void> {
  if (wanted.length === 0) return;
  const saga = await runningSaga();
  try {
    for (const name of wanted) await record(name, await playReal(name, saga));
  } finally {
    await saga.close();
  }
}

/** All at once: those that wait, wait together. */
async function recordFake(wanted: readonly FakeCaseName[]): Promise<void> {
  if (wanted.length === 0) return;
  const bench = await WorkflowBench.onDevServer();
  try {
    await Promise.all(wanted.map(async (name) => record(name, await FAKE_CASES[name].play(bench))));
  } finally {
    await bench.close();
  }
}

async function record(name: CaseName, handle: Played): Promise<void> {
  const { ends } = CASES[name];
  const end = endOf(await handle.result());
  if (end !== ends) throw new Error(`${name} ended with ${end} instead of ${ends}`);

  const history = withoutMachine(historyToJson(await handle.fetchHistory()));
  const count = history.events.length;
  const most = MOST_EVENTS[name];
  if (count > most) throw new Error(`${name} has ${count} events, more than ${most}`);
  await writeFile(pathOf(name), `${JSON.stringify(history, null, 2)}\n`);
  process.stdout.write(`${fileOf(name, version)}: ${count} events\n`);
}

/** What a workflow came to, in one word: each result says it in its own way. */
function endOf(result: unknown): string | undefined {
  const { code, status, outcome, rows, repaired, tables, ...other } = result as Readonly<{
    code?: string;
    status?: string;
    outcome?: string;
    result?: string;
    repaired?: number;
    tables?: readonly Readonly<{ rows: number }>[];
    rows?: readonly Readonly<{ result: string }>[];
  }>;
  const gone = tables && `${tables.reduce((sum, { rows: count }) => sum + count, 0)} gone`;
  const counted = repaired === undefined ? gone : `${repaired} repaired`;
  return code ?? status ?? outcome ?? other.result ?? counted ?? rows?.map((row) => row.result).join(', ');
}

/** Worker identities and stack traces name the host and the folder; replaying needs neither. */
function withoutMachine(history: unknown): RecordedHistory {
  const text = JSON.stringify(history)
    .replaceAll(`${process.pid}@${hostname()}`, 'recorder')
    .replaceAll(`file://${ROOT}/`, '')
    .replaceAll(`${ROOT}/`, '');
  return JSON.parse(text) as RecordedHistory;
}
