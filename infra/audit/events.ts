import { differencesWithLog, disorderInLog, type LogScope, scopeOfLog } from './event-log.ts';
import { type EventTopics, type KeptEvents, lookAtKafka } from './events-on-kafka.ts';
import type { Look } from './finding.ts';
import { countEvents, gapsInOutbox, waitingEvents } from './outbox-rules.ts';
import { CannotLook, EVENT_SERVICES, type LookLimits, type Snapshots, withSnapshots } from './snapshot.ts';

/** What carries the events, as it is when the look begins. Close it. */
export type Carriers = Readonly<{ scope: LogScope; kept: KeptEvents | undefined; close: () => Promise<void> }>;

/**
 * Notes how far the log and Kafka answer, and where Kafka's topics end now. Call it as soon as the snapshots are taken:
 * what comes later is in Kafka and in none of them.
 *
 * @param topics undefined where nobody says where Kafka is
 * @throws CannotLook when events go by Kafka and it cannot be read
 */
export async function openCarriers(from: Pick<Snapshots, 'bus'>, topics: EventTopics | undefined): Promise<Carriers> {
  const scope = await scopeOfLog(from.bus);
  if (scope.kafkaSince === null) return { scope, kept: undefined, close: () => Promise.resolve() };
  if (topics === undefined) {
    throw new CannotLook(
      `Events go by Kafka since ${scope.kafkaSince}: set KAFKA_BROKERS (and KAFKA_PREFIX and what else the relays have), ` +
        'or leave out invariant 7 with --only.',
      { what: 'Kafka' },
    );
  }
  const kept = await topics.open();
  return { scope, kept, close: kept.close };
}

/** Whether events go by Kafka, as the database of the bus says. @throws CannotLook */
export const eventsGoByKafka = (busUrl: string, limits: LookLimits): Promise<boolean> =>
  withSnapshots({ bus: busUrl }, ['bus'], async ({ bus }) => (await scopeOfLog(bus)).kafkaSince !== null, limits);

/**
 * Invariant 7: every event that a service has stored is on the bus once it is drained, with each aggregate's versions in
 * their order and without gaps. The log answers for what came before the switch to Kafka, and Kafka for what it still has
 * of what came since.
 */
export async function lookAtEvents(
  from: Snapshots,
  look: Look,
  { scope, kept }: Carriers,
  say: (what: string) => void,
): Promise<void> {
  if (scope.beginsAt !== null) {
    look.note(7, `the log begins at ${scope.beginsAt}: what was published before is not looked for`);
  }
  const seen = kept && (await lookAtKafka(from, look, { kept, scope, say }));
  for (const service of EVENT_SERVICES) {
    const outbox = from[service];
    const count = await countEvents(outbox);
    look.count(7, count);
    say(`${count} events of ${service}`);
    const inOutbox = [...(await waitingEvents(service, outbox)), ...(await gapsInOutbox(service, outbox))];
    inOutbox.forEach((finding) => look.add(finding));

    let expired = 0;
    const onKafka = kept && {
      has: (place: number) => seen?.has(service, place) ?? false,
      hasExpired: (subject: string, publishedMs: number) => {
        const is = kept.hasExpired(service, subject, publishedMs);
        expired += Number(is);
        return is;
      },
    };
    for await (const finding of differencesWithLog(service, outbox, from.bus, scope, onKafka)) look.add(finding);
    if (expired > 0) {
      const begin = kept?.beginsAt(service);
      const since = begin == null ? 'Kafka has none any more' : `what Kafka keeps begins at ${begin}`;
      look.note(7, `${expired} events of ${service} are not looked for: ${since}`);
    }
  }
  say('the order of the log');
  (await disorderInLog(from.bus)).forEach((finding) => look.add(finding));
}
