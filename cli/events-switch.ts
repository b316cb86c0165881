import { Command, InvalidArgumentError } from 'commander';

import { carrierOf, reopenLog } from '../events/bus/carrier.ts';
import { kafkaOptions } from '../events/bus/kafka.ts';
import { KafkaError } from '../events/bus/kafka-connection.ts';
import { openTopics } from '../events/bus/kafka-topics.ts';
import { switchToKafka, unread } from '../events/bus/switch.ts';
import { ConfigError, databaseUrl, readConfig } from '../infra/config.ts';
import { isDatabaseOutage, sqlStateOf } from '../infra/database-outage.ts';
import { type Databases, openBus } from '../infra/databases.ts';
import { findEndpoints, withEndpoints } from '../infra/endpoints.ts';
import { progressLine } from './audit/progress.ts';
import { databaseReasonOf } from './reason.ts';

type Options = Readonly<{ check: boolean; cancel: boolean; without: string[]; wait: number }>;

const CARRIED_BY = {
  embedded: 'Events go by the log in db_event_bus.',
  none: 'The log in db_event_bus is closed, and nothing goes by Kafka yet: events wait in the outboxes.',
  kafka: 'Events go by Kafka.',
} as const;

const program = new Command('npm run events:switch --')
  .description('Moves the events from the log in db_event_bus to Kafka, while services go on writing.')
  .option('--check', 'only say what carries the events and what consumers have not read', false)
  .option('--cancel', 'give up a switch that has not come to its end: events go by the log again', false)
  .option('--without <groups...>', 'consumer groups that nobody runs any more: do not wait for them', [])
  .option('--wait <seconds>', 'how long consumers may take to read the log to its end', secondsIn, 300)
  .addHelpText(
    'after',
    '\nNeeds KAFKA_BROKERS, and BUS_DATABASE_URL or else the system that `npm start` runs. Leave the running processes as\n' +
      'they are: the log is closed, its consumers read it to its end, and events wait in the outboxes meanwhile. Then\n' +
      'start the processes again with KAFKA_BROKERS. Run it again when it was interrupted.\n\n' +
      'Exit codes: 0 when events go by Kafka, or with --check and --cancel when it could be said; 1 when consumers did not\n' +
      'read the log in time, or it was too late to cancel; 2 when it could not look.',
  )
  .exitOverride(({ exitCode }) => process.exit(exitCode === 0 ? 0 : 2))
  .action(main);
await program.parseAsync();

async function main(options: Options): Promise<void> {
  try {
    const given = readConfig();
    const config = withEndpoints(given, findEndpoints(given.dataDir));
    const bus = openBus(databaseUrl(config, 'bus'), { poolSize: 2 });
    try {
      if (options.check) process.exitCode = await check({ bus });
      else if (options.cancel) process.exitCode = await cancel({ bus });
      else {
        if (given.kafka === undefined)
          throw new ConfigError('KAFKA_BROKERS is not set: name the brokers to switch to.');
        const kafka = kafkaOptions(given.kafka);
        await openTopics(kafka, kafka).ensure(); // before anything is closed
        process.exitCode = await run({ bus }, options);
      }
    } finally {
      await bus.$disconnect();
    }
  } catch (error) {
    const known =
      error instanceof ConfigError ||
      error instanceof KafkaError ||
      isDatabaseOutage(error) ||
      sqlStateOf(error) !== undefined;
    if (!known) throw error;
    process.stderr.write(`events:switch: ${databaseReasonOf(error)}${fixFor(error)}\n`);
    process.exitCode = 2;
  }
}

async function run(databases: Pick<Databases, 'bus'>, { without, wait }: Options): Promise<number> {
  const progress = progressLine(process.stderr);
  const { result, behind } = await switchToKafka(databases, {
    without,
    limitMs: wait * 1_000,
    onProgress: (left) => progress.say(`waiting for consumers: ${listOf(left)}`),
  }).finally(() => progress.clear());
  if (result === 'UNREAD') {
    say(`The log is closed, but was not read to its end in ${wait} s: ${listOf(behind)}.`);
    say('Events wait in the outboxes. Let these consumers run without KAFKA_BROKERS and run this again, or give up by');
    say('--cancel. Groups that nobody runs any more are named by --without.');
    return 1;
  }
  say(result === 'ALREADY' ? CARRIED_BY.kafka : 'Every consumer has read the log to its end. Events go by Kafka now:');
  if (result === 'SWITCHED') say('start relays and consumers again with KAFKA_BROKERS. What they left waits for them.');
  return 0;
}

async function check({ bus }: Pick<Databases, 'bus'>): Promise<number> {
  const behind = await unread(bus);
  say(CARRIED_BY[await carrierOf(bus)]);
  say(behind.size === 0 ? 'Every group has read the log to its end.' : `Not read yet: ${listOf(behind)}.`);
  return 0;
}

async function cancel(databases: Pick<Databases, 'bus'>): Promise<number> {
  const carrier = await reopenLog(databases);
  say(CARRIED_BY[carrier]);
  return carrier === 'embedded' ? 0 : 1;
}

function listOf(behind: ReadonlyMap<string, number>): string {
  return [...behind].map(([group, count]) => `${group} ${count}`).join(', ');
}

function fixFor(error: unknown): string {
  if (error instanceof KafkaError) return ' Nothing was switched. Start it, or correct KAFKA_BROKERS.';
  return isDatabaseOutage(error) ? '. Start it, or correct BUS_DATABASE_URL, and run this again.' : '';
}

function secondsIn(text: string): number {
  const seconds = Number(text);
  if (Number.isInteger(seconds) && seconds >= 1) return seconds;
  throw new InvalidArgumentError('It must be whole seconds, at least 1.');
}

function say(text: string): void {
  process.stdout.write(`${text}\n`);
}
