import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { basename, join } from 'node:path';

import type { DataConverter } from '@temporalio/common';
import { DefaultLogger, makeTelemetryFilterString, Runtime, Worker } from '@temporalio/worker';
import { Command } from 'commander';

import { ConfigError, readConfig } from '../infra/config.ts';
import { NothingIsRunning } from '../infra/endpoints.ts';
import { UndecryptablePayload } from '../infra/payload-codec.ts';
import { openSystemTemporal } from '../infra/system-temporal.ts';
import { temporalConverter } from '../infra/temporal-converter.ts';
import { type History, historyFromJson } from '../infra/temporal-history.ts';
import { payloadsIn } from '../infra/temporal-payloads.ts';
import { interceptorModules, workflowCode } from './temporal-worker.ts';

type Named = Readonly<{ workflowId: string; history: History }>;

const RECORDED = 'test/histories';

const command = new Command('npm run replay --')
  .description(
    'Replays histories on the workflow code of today. A history that no longer fits is a running checkout that would break.',
  )
  .argument(
    '[histories...]',
    `files as \`temporal workflow show --output json\` prints them, or workflow ids of the running system; none means all of ${RECORDED}`,
  )
  .addHelpText(
    'after',
    `
Examples:
  npm run replay
  npm run replay -- test/histories/paid.v0.1.0.json
  npm run replay -- checkout-0f8fad5b-d9cb-569f-a165-70867728950e

Exit code: 0 all fit, 1 at least one does not, 2 a history cannot be had.`,
  )
  .parse();

// Replaying says itself what is wrong, in one line each.
Runtime.install({
  logger: new DefaultLogger('ERROR'),
  telemetryOptions: { logging: { filter: makeTelemetryFilterString({ core: 'ERROR' }) } },
});

const config = readConfig();
const failures = await replayAll(await chosen(command.args));
process.exitCode = failures > 0 ? 1 : 0;

async function replayAll(histories: readonly Named[]): Promise<number> {
  let failed = 0;
  const dataConverter = await converter();
  for (const history of histories) await mustBeReadable(history, dataConverter);
  const code = workflowCode();
  const options = { ...code, interceptors: interceptorModules(code), dataConverter };
  for await (const { workflowId, error } of Worker.runReplayHistories(options, histories)) {
    if (error !== undefined) failed += 1;
    const count = histories.find((named) => named.workflowId === workflowId)?.history.events?.length ?? 0;
    const how = error === undefined ? `ok (${count} events)` : `DOES NOT FIT: ${causeOf(error.message)}`;
    process.stdout.write(`${workflowId}: ${how}\n`);
  }
  return failed;
}

async function converter(): Promise<DataConverter> {
  try {
    return await temporalConverter(config);
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    return command.error(error.message, { exitCode: 2 });
  }
}

/** Without its key a history would seem not to fit. */
async function mustBeReadable({ workflowId, history }: Named, { payloadCodecs = [] }: DataConverter): Promise<void> {
  const payloads = payloadsIn(history).map(({ payload }) => payload);
  try {
    for (const codec of payloadCodecs) await codec.decode(payloads);
  } catch (error) {
    if (!(error instanceof UndecryptablePayload)) throw error;
    command.error(`${workflowId} cannot be read: ${error.message}`, { exitCode: 2 });
  }
}

async function chosen(names: readonly string[]): Promise<Named[]> {
  const recorded = () => (existsSync(RECORDED) ? readdirSync(RECORDED) : []).filter((name) => name.endsWith('.json'));
  const wanted = names.length > 0 ? names : recorded().map((name) => join(RECORDED, name));
  if (wanted.length === 0) return command.error(`there is no history in ${RECORDED}`, { exitCode: 2 });

  const files = wanted.filter(isFile);
  const ids = wanted.filter((name) => !isFile(name));
  return [...files.map(fromFile), ...(ids.length > 0 ? await fromServer(ids) : [])];
}

function isFile(name: string): boolean {
  return name.endsWith('.json');
}

function fromFile(path: string): Named {
  try {
    return { workflowId: basename(path), history: historyFromJson(JSON.parse(readFileSync(path, 'utf8'))) };
  } catch (error) {
    return command.error(`${path}: ${error instanceof Error ? error.message : String(error)}`, { exitCode: 2 });
  }
}

/** From the system that `npm start` runs, or the one that the environment names. */
async function fromServer(workflowIds: readonly string[]): Promise<Named[]> {
  const { client, connection, address } = await systemTemporal();
  const { workflow } = client;
  try {
    const histories: Named[] = [];
    for (const workflowId of workflowIds) {
      histories.push({ workflowId, history: await workflow.getHandle(workflowId).fetchHistory() });
    }
    return histories;
  } catch (error) {
    const reason = error instanceof Error ? firstLine(error.message) : String(error);
    return command.error(`no history from Temporal at ${address}: ${reason}`, { exitCode: 2 });
  } finally {
    await connection.close();
  }
}

async function systemTemporal() {
  try {
    return await openSystemTemporal(config);
  } catch (error) {
    if (!(error instanceof NothingIsRunning) && !(error instanceof ConfigError)) throw error;
    return command.error(error.message, { exitCode: 2 });
  }
}

/** The SDK's message ends with a dump; the sentence that says what differs has a code. */
function causeOf(message: string): string {
  return /\[TMPRL\d+\][^"]*/.exec(message)?.[0] ?? firstLine(message);
}

function firstLine(text: string): string {
  return text.split('\n', 1)[0] ?? text;
}
