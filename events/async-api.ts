import { z } from 'zod';

import {
  EVENT_SOURCES,
  EVENT_TYPES,
  type EventSource,
  type EventTypeEntry,
  schemaUri,
  sourceUri,
} from './catalogue.ts';
import { PERSONAL_FIELDS } from './personal-fields.ts';
import { envelopeSchema } from './read-event.ts';

type Json = Readonly<Record<string, unknown>>;
type Message = Readonly<{
  name: string;
  type: string;
  version: number;
  entry: EventTypeEntry;
  data: z.ZodType;
  newest: boolean;
}>;

/**
 * The catalogue as an AsyncAPI 3 document: a channel for each service, a message for each version of each type.
 *
 * @param release version of the document, that of the package
 * @param types the catalogue; tests have types with a past
 */
export function asyncApiDocument(release: string, types: Readonly<Record<string, EventTypeEntry>> = EVENT_TYPES): Json {
  const messages = Object.entries(types).flatMap(([type, entry]) => versionsOf(type, entry));
  const schemaNames = namesOf(messages);
  return {
    asyncapi: '3.0.0',
    info: { title: 'Commerce Saga events', version: release, description: DESCRIPTION },
    defaultContentType: 'application/cloudevents+json',
    servers: {
      kafka: {
        host: '{broker}',
        protocol: 'kafka',
        description: 'Used when KAFKA_BROKERS is set; otherwise the same events are in the embedded log, db_event_bus.',
        variables: { broker: { default: 'localhost:9092', description: 'One of KAFKA_BROKERS' } },
      },
    },
    channels: entriesOf(EVENT_SOURCES, (source) => [source, channelOf(source, messages)]),
    operations: entriesOf(EVENT_SOURCES, (source) => [`publish_${source}`, operationOf(source)]),
    components: {
      messages: entriesOf(messages, (message) => [message.name, messageOf(message)]),
      schemas: {
        // As input: who carries an event may add attributes.
        envelope: jsonSchemaOf(envelopeSchema, 'input'),
        ...entriesOf(messages, (message) => [message.name, eventOf(message, schemaNames)]),
        ...entriesOf([...schemaNames], ([schema, name]) => [name, jsonSchemaOf(schema, 'output')]),
      },
    },
  };
}

const DESCRIPTION = [
  'What happened in the shop, as CloudEvents 1.0 in structured mode. Every event is delivered at least once, and events of',
  'one aggregate in the order of their versions; nothing is promised between aggregates. A consumer keeps the ids that it',
  'has seen, and ignores attributes that it does not know. Amounts and counts are totals so far, never differences, unless',
  'a name says "change".',
].join(' ');

/** Older versions too: events are kept, so whoever reads from the beginning meets them. */
function versionsOf(type: string, entry: EventTypeEntry): Message[] {
  const older = (entry.older ?? []).map(({ data }, index) => {
    const version = index + 1;
    return { name: `${type}.v${version}`, type, version, entry, data, newest: false };
  });
  return [...older, { name: type, type, version: entry.version, entry, data: entry.data, newest: true }];
}

/** Types that share their data share a schema, named after their aggregate. */
function namesOf(messages: readonly Message[]): Map<z.ZodType, string> {
  const names = new Map<z.ZodType, string>();
  for (const { data, entry, version, type } of messages) {
    const taken = new Set(names.values());
    const free = [entry.aggregate, `${entry.aggregate}.v${version}`, `${entry.aggregate}.${type}.v${version}`];
    if (!names.has(data)) names.set(data, free.find((name) => !taken.has(name)) ?? `${type}.v${version}.data`);
  }
  return names;
}

const channelOf = (source: EventSource, messages: readonly Message[]): Json => ({
  address: `${source}.events`,
  title: `Events of the ${source} service`,
  messages: entriesOf(
    messages.filter(({ entry }) => entry.source === source),
    ({ name }) => [name, { $ref: `#/components/messages/${name}` }],
  ),
});

const operationOf = (source: EventSource): Json => ({
  action: 'send',
  channel: { $ref: `#/channels/${source}` },
  summary: `The relay of the ${source} service publishes what its outbox holds.`,
});

const messageOf = ({ name, type, version, entry, newest }: Message): Json => ({
  name: type,
  title: newest ? type : `${type}, version ${version}`,
  summary: newest
    ? `Version ${version}, written by this release.`
    : `Version ${version}, no longer written; read it as ${entry.version}.`,
  contentType: 'application/cloudevents+json',
  correlationId: { location: '$message.payload#/correlationId' },
  payload: { $ref: `#/components/schemas/${name}` },
  bindings: { kafka: { key: { type: 'string', description: `${entry.aggregate}/ and the subject` } } },
  ...(type in PERSONAL_FIELDS && {
    'x-personal-fields': PERSONAL_FIELDS[type as keyof typeof PERSONAL_FIELDS].map((field) => `data.${field}`),
  }),
});

/** The envelope, with what every event of this type and version has. */
const eventOf = ({ type, version, entry, data }: Message, names: ReadonlyMap<z.ZodType, string>): Json => ({
  allOf: [{ $ref: '#/components/schemas/envelope' }],
  properties: {
    source: { const: sourceUri(entry.source) },
    type: { const: type },
    dataschema: { const: schemaUri(type, version) },
    aggregateType: { const: entry.aggregate },
    data: { $ref: `#/components/schemas/${String(names.get(data))}` },
  },
});

/** JSON Schema draft 07, which AsyncAPI takes when a schema names no format. */
function jsonSchemaOf(schema: z.ZodType, io: 'input' | 'output'): Json {
  const all = Object.entries(z.toJSONSchema(schema, { target: 'draft-7', io }));
  return Object.fromEntries(all.filter(([name]) => name !== '$schema'));
}

const entriesOf = <T>(items: readonly T[], entry: (item: T) => readonly [string, unknown]): Json =>
  Object.fromEntries(items.map(entry));
