import { Command, InvalidArgumentError } from 'commander';

import { benchBus, CARRIERS } from './bus.ts';
import { busReport } from './report.ts';

type Options = Readonly<{ events: number; latencies: number; only?: string; json: boolean }>;

const program = new Command('npm run bench --').description('Measures on this machine, with servers of its own.');
program
  .command('bus')
  .description('how fast events go from an outbox through each bus to a consumer, and how soon one arrives')
  .option('--events <n>', 'events through each bus', countIn, 50_000)
  .option('--latencies <n>', 'single events on an idle system', countIn, 500)
  .option('--only <bus>', CARRIERS.join(' or '))
  .option('--json', 'print the numbers as JSON', false)
  .addHelpText(
    'after',
    '\nKafka needs Java 17 and, the first time, Maven. Exit code 1 when an event was lost or out of order.',
  )
  .action(async ({ events, latencies, only, json }: Options, command: Command) => {
    const carriers = CARRIERS.filter((carrier) => only === undefined || carrier === only);
    if (carriers.length === 0) command.error(`There is no bus ${only}.`);
    const say = (line: string): void => void process.stderr.write(`${line}\n`);
    const results = await benchBus({ events, latencies, carriers, say });
    process.stdout.write(`${json ? JSON.stringify(results, null, 2) : busReport(results)}\n`);
    if (results.some(({ wrong }) => wrong > 0)) process.exitCode = 1;
  });
await program.parseAsync();

function countIn(text: string): number {
  const count = Number(text);
  if (Number.isInteger(count) && count >= 1) return count;
  throw new InvalidArgumentError('It must be a whole number, at least 1.');
}
