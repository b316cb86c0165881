import { execFile } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { hostname } from 'node:os';
import { join, resolve } from 'node:path';
import { promisify } from 'node:util';

import { Command, Option } from 'commander';

import { place, PLACED_DEADLINE_MS } from '../../api/place.ts';
import { type CartLine, type CheckoutInput, checkoutWorkflowId } from '../../domain/checkout.ts';
import type { ErrorCode } from '../../domain/errors.ts';
import { orderIdFor } from '../../events/ids.ts';
import type { TemporalClient } from '../../infra/temporal.ts';
import { historyToJson } from '../../infra/temporal-history.ts';
import { products, stock } from '../../prisma/seed/catalogue.ts';
import type { checkout } from '../../workflows/checkout.ts';
import { HISTORIES, mostEventsOf, type RecordedHistory } from '../support/histories.ts';
import { quietRuntime } from '../support/quiet-runtime.ts';
import { runningSaga } from '../support/running-saga.ts';
import { stopServers } from '../support/servers.ts';
import { sha256 } from '../support/shop.ts';

type Case = Readonly<{ lines: () => CartLine[]; token: string; ends: ErrorCode | 'COMPLETED' }>;

const ROOT = resolve(HISTORIES, '../..');
const START_DEADLINE_MS = 120_000;

const COASTERS: CartLine = { lineNo: 1, productId: '102', variantId: null, quantity: 2, locationCode: 'MAIN' };
const CASES = {
  paid: { lines: () => [COASTERS], token: 'tok_ok', ends: 'COMPLETED' },
  'card-declined': { lines: () => [COASTERS], token: 'tok_declined', ends: 'PAYMENT_DECLINED' },
  'out-of-stock': { lines: () => [COASTERS, soldOut()], token: 'tok_ok', ends: 'OUT_OF_STOCK' },
} as const satisfies Readonly<Record<string, Case>>;
type CaseName = keyof typeof CASES;

const command = new Command('npm run histories:record --')
  .description('Plays checkouts on real servers and keeps their histories: every later workflow code must replay them.')
  .addOption(new Option('--case <name...>', 'only these').choices(Object.keys(CASES)))
  .option('--force', 'replace the files of a version that is not released yet', false)
  .addHelpText('after', '\nExample:\n  npm run histories:record -- --case paid --force')
  .parse();
const { case: names = Object.keys(CASES) as CaseName[], force } = command.opts<{ case?: CaseName[]; force: boolean }>();

const { version } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')) as { version: string };
const fileOf = (name: CaseName): string => join(HISTORIES, `${name}.v${version}.json`);
await mustBeReplaceable();

quietRuntime();
try {
  const saga = await runningSaga();
  try {
    for (const name of names) process.stdout.write(`${await record(name, saga.temporal)}\n`);
  } finally {
    await saga.close();
  }
} finally {
  await stopServers();
}

/** A recorded history is a promise to sagas that run somewhere: it is never replaced once its version is out. */
async function mustBeReplaceable(): Promise<void> {
  const there = names.map(fileOf).filter((file) => existsSync(file));
  if (there.length === 0) return;
  const { stdout } = await promisify(execFile)('git', ['tag', '--list', `v${version}`], { cwd: ROOT });
  const files = there.join(', ');
  if (stdout.trim() !== '') command.error(`v${version} is released: its histories stay as they are (${files})`);
  if (!force) command.error(`already recorded; --force replaces it: ${files}`);
}

async function record(name: CaseName, temporal: TemporalClient): Promise<string> {
  const { lines, token, ends } = CASES[name];
  const orderId = orderIdFor('/v1/checkouts', '1', `history of ${name}`);
  const input: CheckoutInput = {
    orderId,
    customerId: '1',
    requestHash: sha256(name),
    lines: lines(),
    payment: { method: 'card', token },
    expectedTotal: null,
    startDeadline: new Date(Date.now() + START_DEADLINE_MS).toISOString(),
  };
  await place(temporal, input, PLACED_DEADLINE_MS);
  const handle = temporal.client.workflow.getHandle<typeof checkout>(checkoutWorkflowId(orderId));
  const { code, status } = await handle.result();
  if ((code ?? status) !== ends) throw new Error(`${name} ended with ${code ?? status} instead of ${ends}`);

  const history = withoutMachine(historyToJson(await handle.fetchHistory()));
  const count = history.events.length;
  const most = mostEventsOf(history);
  if (count > most) throw new Error(`${name} has ${count} events, more than ${most}`);
  await writeFile(fileOf(name), `${JSON.stringify(history, null, 2)}\n`);
  return `${name}.v${version}.json: ${count} events`;
}

/** Worker identities and stack traces name the host and the folder; replaying needs neither. */
function withoutMachine(history: unknown): RecordedHistory {
  const text = JSON.stringify(history)
    .replaceAll(`${process.pid}@${hostname()}`, 'recorder')
    .replaceAll(`${ROOT}/`, '');
  return JSON.parse(text) as RecordedHistory;
}

/** A line that asks for one more than the seed has. */
function soldOut(): CartLine {
  const onSale = products().filter(({ status, currency }) => status === 'ACTIVE' && currency === 'KRW');
  const scarce = stock(onSale).find(({ available, variantId }) => variantId === null && available < 100);
  if (scarce === undefined) throw new Error('everything in the seed is plentiful');
  const { productId, available, locationCode } = scarce;
  return { lineNo: 2, productId: String(productId), variantId: null, quantity: available + 1, locationCode };
}
