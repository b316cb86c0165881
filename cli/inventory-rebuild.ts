import { Command } from 'commander';

import { isLedgerDamaged, rebuildInventory } from '../infra/audit/rebuild.ts';
import { CannotLook } from '../infra/audit/snapshot.ts';
import type { StockDifference } from '../infra/audit/stock.ts';
import { ConfigError, databaseUrl, readConfig } from '../infra/config.ts';
import { findEndpoints, withEndpoints } from '../infra/endpoints.ts';
import { progressLine } from './audit/progress.ts';

const program = new Command('npm run inventory:rebuild --')
  .description('Folds the stock ledger and compares it with the snapshots. Changes nothing without --apply.')
  .option('--apply', 'make the snapshots what the ledger says; safe beside live checkouts', false)
  .addHelpText(
    'after',
    '\nA ledger that lacks a version, or that folds to less than nothing, is reported and never repaired.\n' +
      'Works on PLATFORM_DATABASE_URL or else on the system that `npm start` runs.\n' +
      'Exit codes: 0 when snapshots and ledger agree, or were made to; 1 when something is left; 2 when it could not look.',
  )
  // A mistyped command has looked at nothing, and must not read as a difference.
  .exitOverride(({ exitCode }) => process.exit(exitCode === 0 ? 0 : 2))
  .action(main);
await program.parseAsync();

async function main({ apply }: Readonly<{ apply: boolean }>): Promise<void> {
  const progress = progressLine(process.stderr);
  try {
    const given = readConfig();
    const url = databaseUrl(withEndpoints(given, findEndpoints(given.dataDir)), 'platform');
    const { snapshots, events, repairable, damagedLedgers, repaired } = await rebuildInventory(url, {
      ...{ apply, say: progress.say },
      found: (difference) => {
        progress.clear();
        say(lineOf(difference));
      },
    });
    progress.clear();
    const differences = repairable.length + damagedLedgers.length;
    say(`${snapshots} snapshots, ${events} ledger rows: ${differences} differences, ${repaired.length} repaired`);
    if (!apply && repairable.length > 0) say('Nothing was changed. Run again with --apply to repair the snapshots.');
    if (damagedLedgers.length > 0) say(`${damagedLedgers.length} damaged ledgers: a person must find what is missing.`);
    process.exitCode = damagedLedgers.length > 0 || (!apply && repairable.length > 0) ? 1 : 0;
  } catch (error) {
    progress.clear();
    if (!(error instanceof CannotLook) && !(error instanceof ConfigError)) throw error;
    process.stderr.write(`inventory:rebuild: ${error.message}\n`);
    process.exitCode = 2;
  }
}

function lineOf(difference: StockDifference): string {
  const { aggregateId, snapshot, fold } = difference;
  const text = (one: typeof fold | NonNullable<typeof snapshot>) =>
    `available ${one.available}, reserved ${one.reserved}, version ${one.version}`;
  const now = snapshot === null ? 'no snapshot' : text(snapshot);
  const why = isLedgerDamaged(difference) ? ` (ledger damaged: ${fold.events} rows; not repaired)` : '';
  return `stock ${aggregateId}: ${now}; ledger: ${text(fold)}${why}`;
}

function say(line: string): void {
  process.stdout.write(`${line}\n`);
}
