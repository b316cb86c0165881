import { z } from 'zod';

import { UnreadableEvent } from './bus/bus.ts';
import { EVENT_TYPES, type EventType, type EventTypeEntry, schemaUri, sourceUri } from './catalogue.ts';
import type { ShopEvent } from './outbox.ts';
import type { StoredEvent } from './stored-event.ts';
import { upcast } from './upcast.ts';

/**
 * An event that may be believed: of a type that we know, its data of the newest version. `type` tells which data it has.
 * `time` is the database's, of the transaction that made it.
 */
export type ReadEvent = {
  [T in EventType]: ShopEvent<T> &
    Readonly<{ time: string; traceparent?: string | undefined; requestid?: string | undefined }>;
}[EventType];

/**
 * Thrown for an event that cannot be read by this release: a type that it does not know, a version newer than its own, or
 * one that is not what it says. A handler that lets it through has it filed as a dead letter; the next release may be able
 * to read it.
 */
export class UnknownEvent extends UnreadableEvent {
  override readonly name = 'UnknownEvent';

  constructor({ id, type }: StoredEvent, reason: string) {
    super(`event ${id} of type ${type} cannot be read: ${reason}`);
  }
}

/** Attributes that we do not know are dropped: CloudEvents lets whoever carries an event add some. */
export const envelopeSchema = z.object({
  specversion: z.literal('1.0'),
  id: z.uuid().describe('UUIDv5 of aggregate, version and type: the same event always has the same id'),
  source: z.string(),
  type: z.string(),
  subject: z
    .string()
    .min(1)
    .describe('id of the aggregate; events of one aggregate come in the order of their versions'),
  time: z.iso.datetime().describe('database clock of the transaction that made it'),
  dataschema: z.string(),
  aggregateType: z.string(),
  aggregateVersion: z.int().min(1).describe('from 1 on, without gaps within one aggregate'),
  correlationId: z.string().describe('what caused it: an order id, or the id of an administrative request'),
  traceparent: z.string().optional().describe('W3C trace context of the request that it comes from'),
  requestid: z.string().optional().describe('X-Request-Id of the request that it comes from'),
  data: z.unknown(),
});
type Envelope = z.output<typeof envelopeSchema>;

/**
 * Checks a stored event against the catalogue and brings its data to the newest version. Personal fields stay as they were
 * stored (see `opened`).
 *
 * @param types the catalogue; tests have types with a past
 * @throws UnknownEvent with the reason, which holds no data of the event
 */
export function readEvent(
  stored: StoredEvent,
  types: Readonly<Record<string, EventTypeEntry>> = EVENT_TYPES,
): ReadEvent {
  const parsed = envelopeSchema.safeParse(stored.envelope);
  if (!parsed.success) throw new UnknownEvent(stored, whereOf(parsed.error));

  const entry = Object.hasOwn(types, stored.type) ? types[stored.type] : undefined;
  if (entry === undefined) throw new UnknownEvent(stored, 'the type is not known here');
  const differing = differencesOf(stored, parsed.data, entry);
  if (differing.length > 0) throw new UnknownEvent(stored, `not what it says it is in ${differing.join(', ')}`);

  const version = versionIn(parsed.data, stored.type);
  if (version === undefined) throw new UnknownEvent(stored, 'dataschema names no version of its type');
  if (version > entry.version) {
    throw new UnknownEvent(stored, `it has version ${version}, and the newest known here is ${entry.version}`);
  }
  try {
    const data = upcast(entry, version, parsed.data.data);
    return { ...parsed.data, dataschema: schemaUri(stored.type, entry.version), data } as ReadEvent;
  } catch (error) {
    if (!(error instanceof z.ZodError)) throw error;
    throw new UnknownEvent(stored, `its data are not those of version ${version}: ${whereOf(error)}`);
  }
}

/** Where the row or record around the envelope says something else than the envelope or the catalogue. */
function differencesOf(stored: StoredEvent, envelope: Envelope, { source, aggregate }: EventTypeEntry): string[] {
  const pairs = {
    id: [stored.id, envelope.id],
    type: [stored.type, envelope.type],
    source: [stored.source, source],
    'envelope.source': [envelope.source, sourceUri(source)],
    aggregateType: [stored.aggregateType, aggregate],
    'envelope.aggregateType': [envelope.aggregateType, aggregate],
    subject: [stored.aggregateId, envelope.subject],
    aggregateVersion: [stored.aggregateVersion, envelope.aggregateVersion],
  } as const;
  return Object.entries(pairs).flatMap(([name, [is, shouldBe]]) => (is === shouldBe ? [] : [name]));
}

function versionIn({ dataschema }: Envelope, type: string): number | undefined {
  const version = Number(/:v([1-9]\d{0,5})$/.exec(dataschema)?.[1]);
  return dataschema === schemaUri(type, version) ? version : undefined;
}

/** Fields and kinds of fault, never their values: they may be personal, and this goes into logs. */
const whereOf = ({ issues }: z.ZodError): string =>
  issues
    .slice(0, MOST_FAULTS)
    .map(({ path, code }) => `${path.map(String).join('.') || 'it'} (${code})`)
    .join(', ');
const MOST_FAULTS = 5;
