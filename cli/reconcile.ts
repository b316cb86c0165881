import { Command } from 'commander';

import { ConfigError, readConfig } from '../infra/config.ts';
import { NothingIsRunning } from '../infra/endpoints.ts';
import { progressLine } from './audit/progress.ts';
import { exitCodeOf, reportOf } from './reconcile/report.ts';
import { reconcileSystem } from './reconcile/run.ts';
import { CannotRun } from './run-workflow.ts';

type Options = Readonly<{ apply: boolean; json: boolean }>;

const program = new Command('npm run reconcile --')
  .description('Finds orders, refunds and webhooks that no workflow works on any more, and with --apply ends them.')
  .option('--apply', 'start the repairs; without it nothing is changed', false)
  .option('--json', 'print the result as JSON', false)
  .addHelpText(
    'after',
    '\nIt runs the workflow `reconcile`, as the schedule of that name does every few minutes, on the server of\n' +
      'TEMPORAL_ADDRESS, or else on the system that `npm start` runs. A repair that takes longer than two minutes, such\n' +
      'as one that is parked, is reported as RUNNING and goes on by itself.\n\n' +
      'Exit codes: 0 when nothing is left, 1 when something was found in a dry run or is left, 2 when it could not look\n' +
      'everywhere.',
  )
  // A mistyped command has looked at nothing, and must not read as something found.
  .exitOverride(({ exitCode }) => process.exit(exitCode === 0 ? 0 : 2))
  .action(main);
await program.parseAsync();

async function main({ apply, json }: Options): Promise<void> {
  const progress = progressLine(process.stderr);
  try {
    const result = await reconcileSystem(readConfig(), { apply, say: progress.say });
    progress.clear();
    process.stdout.write(json ? `${JSON.stringify(result, null, 2)}\n` : `${reportOf(result)}\n`);
    process.exitCode = exitCodeOf(result);
  } catch (error) {
    progress.clear();
    const known = error instanceof CannotRun || error instanceof NothingIsRunning || error instanceof ConfigError;
    if (!known) throw error;
    process.stderr.write(`reconcile: ${error.message}\n`);
    process.exitCode = 2;
  }
}
