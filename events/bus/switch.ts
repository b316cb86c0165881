import { setTimeout as sleep } from 'node:timers/promises';

import type { Databases } from '../../infra/databases.ts';
import { closeLog, handToKafka } from './carrier.ts';
import { positionsBehind } from './embedded-tables.ts';

export type SwitchOptions = Readonly<{
  /** Consumer groups that nobody runs any more: what they have not read stays in the log. */
  without: readonly string[];
  /** How long consumers may take to read the log to its end, milliseconds. */
  limitMs: number;
  /** Told which groups have how much to read, each time that it changes. */
  onProgress: (behind: ReadonlyMap<string, number>) => void;
}>;

export type Switched = Readonly<{
  /** `ALREADY` when events went by Kafka before; `UNREAD` when the limit came first: nothing is lost, call it again. */
  result: 'SWITCHED' | 'ALREADY' | 'UNREAD';
  /** Groups with something left to read, and how many events. */
  behind: ReadonlyMap<string, number>;
}>;

const POLL_MS = 200;
const NOTHING: ReadonlyMap<string, number> = new Map();

/**
 * Moves the events from the embedded log to Kafka while services go on writing: closes the log, waits until its
 * consumers have read it to its end, and hands over to Kafka. In between events wait in the outboxes, so that none can
 * overtake an earlier one. Repeat-safe; an attempt that was cut short is taken up where it was.
 */
export async function switchToKafka(
  databases: Pick<Databases, 'bus'>,
  { without, limitMs, onProgress }: SwitchOptions,
): Promise<Switched> {
  if ((await closeLog(databases)) === 'kafka') return { result: 'ALREADY', behind: NOTHING };

  let told = '';
  for (const deadline = Date.now() + limitMs; ; await sleep(POLL_MS)) {
    const behind = await unread(databases.bus, without);
    if (behind.size === 0) break;
    const text = JSON.stringify([...behind]);
    if (text !== told) onProgress(behind);
    told = text;
    if (Date.now() > deadline) return { result: 'UNREAD', behind };
  }
  await handToKafka(databases);
  return { result: 'SWITCHED', behind: NOTHING };
}

/** How many events of the log each group has not read, where there are any. */
export async function unread(
  bus: Databases['bus'],
  without: readonly string[] = [],
): Promise<ReadonlyMap<string, number>> {
  const groups = await bus.$queryRaw<{ name: string }[]>`
    select group_name as name from group_offsets where group_name <> all (${without}::text[]) order by group_name`;
  const behind = new Map<string, number>();
  for (const { name } of groups) {
    const count = await positionsBehind(bus, name);
    if (count > 0) behind.set(name, count);
  }
  return behind;
}
