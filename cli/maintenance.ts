import { Command } from 'commander';

import type { MaintenanceInput, MaintenanceResult } from '../domain/maintenance.ts';
import { MAINTENANCE_WORKFLOW } from '../workflows/contract.ts';
import { exitCodeOf, reportOf } from './maintenance/report.ts';
import { onTemporal, runWorkflow } from './run-workflow.ts';
import { tellRun } from './told-run.ts';

type Options = Readonly<{ dryRun: boolean; json: boolean }>;

/** Longer than its own limits add up to. */
const RUN_LIMIT_MS = 7 * 60 * 60_000;

const main = ({ dryRun, json }: Options): Promise<void> =>
  tellRun({
    ...{ command: 'maintenance', json, reportOf, exitCodeOf },
    run: (config, say) =>
      onTemporal(config, (client) =>
        runWorkflow<MaintenanceInput, MaintenanceResult>(client, {
          ...{ workflowType: MAINTENANCE_WORKFLOW, input: { dryRun }, limitMs: RUN_LIMIT_MS, say },
          progressOf: () => Promise.resolve(dryRun ? 'looking' : 'taking away what is old'),
        }),
      ),
  });

const program = new Command('npm run maintenance --')
  .description("Takes away what is old and was handled: months of the bus's log, inboxes of the views, webhooks.")
  .option('--dry-run', 'only say what would go', false)
  .option('--json', 'print the result as JSON', false)
  .addHelpText(
    'after',
    '\nIt runs the workflow `maintenance`, as the schedule of that name does every night, on the server of\n' +
      'TEMPORAL_ADDRESS, or else on the system that `npm start` runs. How long things are kept, the workers know:\n' +
      'BUS_RETENTION_DAYS and WEBHOOK_RETENTION_DAYS. Interrupted, it goes on by itself.\n\n' +
      'Exit codes: 0 when nothing old is left, 1 when something has to stay or was found in a dry run, 2 when it could\n' +
      'not look everywhere.',
  )
  // A mistyped command has looked at nothing, and must not read as something found.
  .exitOverride(({ exitCode }) => process.exit(exitCode === 0 ? 0 : 2))
  .action(main);
await program.parseAsync();
