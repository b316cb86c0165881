import { randomUUID } from 'node:crypto';
import { createInterface } from 'node:readline/promises';

import { Command, InvalidArgumentError } from 'commander';

import { eraseCustomer, type Erasure } from '../activities/inventory/erase.ts';
import { CheckoutError } from '../domain/errors.ts';
import { ConfigError, databaseUrl, readConfig } from '../infra/config.ts';
import { isDatabaseOutage, sqlStateOf } from '../infra/database-outage.ts';
import { openPlatform } from '../infra/databases.ts';
import { findEndpoints, withEndpoints } from '../infra/endpoints.ts';
import { databaseReasonOf } from './reason.ts';

type Options = Readonly<{ customer: string; yes: boolean; json: boolean }>;

const LARGEST_ID = 2n ** 63n - 1n;

const program = new Command('npm run erase --')
  .description('Forgets who a customer is, for good. What they ordered and paid stays, under their number alone.')
  .requiredOption('--customer <id>', 'their user id', idIn)
  .option('--yes', 'do not ask', false)
  .option('--json', 'print the result as JSON', false)
  .addHelpText(
    'after',
    '\nTheir key is deleted, so that their name and address can be read in no event, view, dead letter, export or copy of\n' +
      'the bus any more. Open checkouts go on to their end; new ones are refused. Backups, the write-ahead log and a full\n' +
      'vacuum are the operator’s: see "Erasing a customer" in docs/operations.md.\n' +
      'Works on PLATFORM_DATABASE_URL, or else on the system that `npm start` runs. Repeat-safe.\n\n' +
      'Exit codes: 0 when the customer is erased, now or before; 1 when there is no such customer, or the answer was no;\n' +
      '2 when it could not be done.',
  )
  // A mistyped command has erased nobody, and must not read as an answer.
  .exitOverride(({ exitCode }) => process.exit(exitCode === 0 ? 0 : 2))
  .action(main);
await program.parseAsync();

async function main({ customer, yes, json }: Options): Promise<void> {
  try {
    const settings = readConfig();
    const url = databaseUrl(withEndpoints(settings, findEndpoints(settings.dataDir)), 'platform');
    if (!yes && !(await isConfirmed(customer, url))) return fail('nothing was erased', 1);
    const platform = openPlatform(url, { poolSize: 1 });
    try {
      const erasure = await eraseCustomer(platform, { userId: customer, correlationId: randomUUID() });
      process.stdout.write(json ? `${JSON.stringify(erasure)}\n` : `${lineOf(erasure)}\n`);
    } finally {
      await platform.$disconnect();
    }
  } catch (error) {
    const unknown = error instanceof CheckoutError && error.code === 'NOT_FOUND';
    if (unknown) fail(`there is no customer ${customer}: give a user id, such as 17`, 1);
    else fail(whyNot(error), 2);
  }
}

/** It cannot be taken back, so it is asked for by the id again, on the terminal. */
async function isConfirmed(customer: string, url: string): Promise<boolean> {
  if (!process.stdin.isTTY || !process.stderr.isTTY) {
    throw new ConfigError('there is no terminal to ask on: give --yes to erase without being asked');
  }
  const terminal = createInterface({ input: process.stdin, output: process.stderr });
  try {
    const { host, pathname } = new URL(url);
    const question = `Erase customer ${customer} of ${host}${pathname} for good? Type the id again: `;
    // The end of the input, or Ctrl-C, is no answer, and would be waited for in vain.
    const closed = new Promise<string>((resolve) => terminal.once('close', () => resolve('')));
    return (await Promise.race([terminal.question(question), closed])).trim() === customer;
  } finally {
    terminal.close();
  }
}

function lineOf({ userId, fresh, erasedAt }: Erasure): string {
  if (!fresh) return `customer ${userId} was erased already, at ${erasedAt.toISOString()}; nothing was changed`;
  return `customer ${userId} is erased: let backups expire, and vacuum (docs/operations.md, "Erasing a customer")`;
}

/** @throws what nobody expected, with its stack */
function whyNot(error: unknown): string {
  if (error instanceof ConfigError) return error.message;
  if (isDatabaseOutage(error)) return `${databaseReasonOf(error)}. Start it, or correct PLATFORM_DATABASE_URL.`;
  if (sqlStateOf(error) === undefined) throw error;
  return `${databaseReasonOf(error)}; nothing was erased, run it again`;
}

function fail(why: string, exitCode: 1 | 2): void {
  process.stderr.write(`erase: ${why}\n`);
  process.exitCode = exitCode;
}

function idIn(text: string): string {
  if (!/^[1-9]\d{0,18}$/.test(text) || BigInt(text) > LARGEST_ID) throw new InvalidArgumentError('It is not an id.');
  return text;
}
