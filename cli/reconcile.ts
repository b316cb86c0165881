import { Command } from 'commander';

import { exitCodeOf, reportOf } from './reconcile/report.ts';
import { reconcileSystem } from './reconcile/run.ts';
import { tellRun } from './told-run.ts';

type Options = Readonly<{ apply: boolean; json: boolean }>;

const main = ({ apply, json }: Options): Promise<void> =>
  tellRun({
    ...{ command: 'reconcile', json, reportOf, exitCodeOf },
    run: (config, say) => reconcileSystem(config, { apply, say }),
  });

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
