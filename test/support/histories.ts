import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

/** One recorded history, as `temporal workflow show --output json` gives it. */
export type RecordedHistory = Readonly<{ events: readonly RecordedEvent[] }>;
export type RecordedEvent = Readonly<Record<string, unknown> & { eventId: string; eventType: string }>;

export const HISTORIES = fileURLToPath(new URL('../histories/', import.meta.url));

/**
 * Every kind of end that is recorded, with the most events it may have: more would make it dearer than it has to be. How
 * many commands share a workflow task depends on the machine, so the limits leave room for one or two tasks.
 */
const CHECKOUTS = {
  paid: 44,
  'card-declined': 56,
  'out-of-stock': 18,
  cancelled: 82,
  'outage-undone': 50,
  'cancelled-captured': 82,
  'captured-after-all': 54,
  'parked-retried': 60,
  'parked-mark-done': 76,
  awaited: 62,
  expired: 80,
  'expired-but-captured': 72,
  'second-look': 66,
} as const satisfies Readonly<Record<string, number>>;
const OTHERS = {
  'webhook-applied': 26,
  'late-capture-settled': 36,
  'refund-returned': 50,
  'refund-refused': 18,
  'refund-failed': 44,
  'repair-completed': 40,
  'repair-undone': 56,
  reconciled: 64,
  maintained: 34,
  'view-rebuilt': 12,
  'daily-sales-repaired': 26,
} as const satisfies Readonly<Record<string, number>>;

export const MOST_EVENTS = { ...CHECKOUTS, ...OTHERS } as const;
export type CaseName = keyof typeof MOST_EVENTS;
export const CASE_NAMES = Object.keys(MOST_EVENTS) as readonly CaseName[];
export const CHECKOUT_CASES = Object.keys(CHECKOUTS) as readonly CaseName[];

/** The file of a case, as a release keeps it. */
export const fileOf = (name: CaseName, release: string): string => `${name}.v${release}.json`;

/** The release that is being made: package.json has its version before its tag is set. */
export const currentRelease = (): string =>
  (JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8')) as { version: string }).version;

/** @throws when no case is recorded under this file name */
export function caseOf(file: string): CaseName {
  const name = CASE_NAMES.find((known) => file.startsWith(`${known}.v`));
  if (name === undefined) throw new Error(`${file} is the history of no case that is known`);
  return name;
}

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
