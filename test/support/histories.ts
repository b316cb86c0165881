import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

/** One recorded history, as `temporal workflow show --output json` gives it. */
export type RecordedHistory = Readonly<{ events: readonly RecordedEvent[] }>;
export type RecordedEvent = Readonly<Record<string, unknown> & { eventId: string; eventType: string }>;

export const HISTORIES = fileURLToPath(new URL('../histories/', import.meta.url));

/** More events than this would make a checkout dearer than it has to be. Four undos cost six events each. */
export const MOST_EVENTS = { forward: 44, undone: 56 } as const;

/** The limit for one history, by whether anything was undone in it. */
export const mostEventsOf = (history: RecordedHistory): number =>
  JSON.stringify(history).includes('"releaseStock"') ? MOST_EVENTS.undone : MOST_EVENTS.forward;

/** Names of the recorded histories, `<case>.v<release>.json`, sorted. */
export const historyFiles = (): string[] =>
  readdirSync(HISTORIES)
    .filter((name) => name.endsWith('.json'))
    .sort();

export const readHistory = (name: string): RecordedHistory =>
  JSON.parse(readFileSync(join(HISTORIES, name), 'utf8')) as RecordedHistory;

/** Every text in a history, those inside encoded payloads too: what a reader of the file could find. */
export function textsIn(value: unknown): string[] {
  if (typeof value === 'string') return [value];
  if (typeof value !== 'object' || value === null) return [];
  const nested = Object.values(value).flatMap(textsIn);
  if (!('metadata' in value) || !('data' in value) || typeof value.data !== 'string') return nested;
  return [...nested, Buffer.from(value.data, 'base64').toString('utf8')];
}
