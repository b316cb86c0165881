import { Command, InvalidArgumentError } from 'commander';

import { stopServers } from '../test/support/servers.ts';
import { benchBus, CARRIERS } from './bus.ts';
import { benchLag } from './lag.ts';
import { lagReport } from './lag-report.ts';
import { progress } from './progress.ts';
import { busReport } from './report.ts';

type BusOptions = Readonly<{ events: number; latencies: number; only?: string; json: boolean }>;
type LagOptions = Readonly<{ seconds: number; rate: number; events: number; json: boolean }>;

const interrupted = new AbortController();
// Each time: ended at the second one, this process would leave its servers behind.
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => interrupted.abort());
const say = (line: string): void => void process.stderr.write(`${line}\n`);

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
  .action(async ({ events, latencies, only, json }: BusOptions, command: Command) => {
    const carriers = CARRIERS.filter((carrier) => only === undefined || carrier === only);
    if (carriers.length === 0) command.error(`There is no bus ${only}.`);
    interrupted.signal.addEventListener('abort', () => void stopServers().finally(() => process.exit(130)));
    const results = await benchBus({ events, latencies, carriers, say });
    process.stdout.write(`${json ? JSON.stringify(results, null, 2) : busReport(results)}\n`);
    if (results.some(({ wrong }) => wrong > 0)) process.exitCode = 1;
  });
program
  .command('lag')
  .description('how soon the views show what happened, with the whole system, and how fast a full log is drained')
  .option('--rate <n>', 'orders a second of the steady flow', countIn, 10)
  .option('--seconds <n>', 'how long the steady flow and each step to the highest rate last', countIn, 30)
  .option('--events <n>', 'events that the projection alone drains; 0 leaves that out', countFrom0, 100_000)
  .option('--json', 'print the numbers as JSON', false)
  .addHelpText(
    'after',
    '\nExit code 1 when an event is missing in a view, a view is not what its events make of it, or the audit is not clean.',
  )
  .action(async ({ seconds, rate, events, json }: LagOptions) => {
    const { signal } = interrupted;
    try {
      const show = (what: string) => progress(what, process.stderr);
      const result = await benchLag({ seconds, perSecond: rate, events, signal, say, show });
      process.stdout.write(`${json ? JSON.stringify(result, null, 2) : lagReport(result)}\n`);
      if (result.wrong.length > 0) process.exitCode = 1;
    } catch (error) {
      if (!signal.aborted) throw error;
      say('interrupted: everything that was started is stopped');
      process.exitCode = 130;
    }
  });
await program.parseAsync();

function countIn(text: string): number {
  const count = Number(text);
  if (Number.isInteger(count) && count >= 1) return count;
  throw new InvalidArgumentError('It must be a whole number, at least 1.');
}

function countFrom0(text: string): number {
  return text === '0' ? 0 : countIn(text);
}
