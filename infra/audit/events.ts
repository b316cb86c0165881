import { differencesWithLog, disorderInLog, scopeOfLog } from './event-log.ts';
import type { Look } from './finding.ts';
import { countEvents, gapsInOutbox, waitingEvents } from './outbox-rules.ts';
import { EVENT_SERVICES, type Snapshots } from './snapshot.ts';

/**
 * Invariant 7: every event that a service has stored is on the bus once it is drained, with each aggregate's versions in
 * their order and without gaps. Of Kafka nothing is read: since the switch to it only the outboxes are looked at, and the
 * log answers for what came before.
 */
export async function lookAtEvents(from: Snapshots, look: Look, say: (what: string) => void): Promise<void> {
  const scope = await scopeOfLog(from.bus);
  if (scope.kafkaSince !== null) {
    look.note(7, `events published since ${scope.kafkaSince} are on Kafka, which is not read: only the outboxes are`);
  }
  if (scope.beginsAt !== null) {
    look.note(7, `the log begins at ${scope.beginsAt}: what was published before is not looked for`);
  }
  for (const service of EVENT_SERVICES) {
    const outbox = from[service];
    const count = await countEvents(outbox);
    look.count(7, count);
    say(`${count} events of ${service}`);
    const inOutbox = [...(await waitingEvents(service, outbox)), ...(await gapsInOutbox(service, outbox))];
    inOutbox.forEach((finding) => look.add(finding));
    for await (const finding of differencesWithLog(service, outbox, from.bus, scope)) look.add(finding);
  }
  say('the order of the log');
  (await disorderInLog(from.bus)).forEach((finding) => look.add(finding));
}
