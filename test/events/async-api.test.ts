import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';

import { Ajv } from 'ajv';
import { parse } from 'yaml';
import { z } from 'zod';

import { asyncApiDocument } from '../../events/async-api.ts';
import { EVENT_TYPES, type EventTypeEntry } from '../../events/catalogue.ts';
import { shopEvent } from '../../events/outbox.ts';
import { olderVersion } from '../../events/upcast.ts';
import { asyncApiText } from '../../scripts/asyncapi-text.ts';

type Json = Readonly<Record<string, unknown>>;
type Document = Readonly<{
  channels: Readonly<Record<string, Readonly<{ address: string; messages: Json }>>>;
  components: Readonly<{ messages: Json; schemas: Json }>;
}>;

/** Only the schema file: the package's entry loads those of every version. */
const specification = createRequire(import.meta.url)('@asyncapi/specs/schemas/3.0.0-without-$id.json') as Json;
const DRAFT_07 = 'http://json-schema.org/draft-07/schema';

const ajv = new Ajv({ strict: false, validateFormats: false });
const isAsyncApi = ajv.compile(specification);
const problemsOf = (document: unknown) => (isAsyncApi(document) ? [] : isAsyncApi.errors);

/** Checks events against the schemas of the document, as a consumer that knows nothing else would. */
function payloadCheck(document: Json, name: string) {
  const { components } = document;
  return new Ajv({ strict: false, validateFormats: false })
    .addSchema({ $id: 'events', components })
    .compile({ $ref: `events#/components/schemas/${name}` });
}

describe('the AsyncAPI document', () => {
  const document = asyncApiDocument('1.2.3');
  const { channels, components } = document as unknown as Document;

  it('is one, by the JSON Schema of AsyncAPI 3', () => {
    assert.deepEqual(problemsOf(document), []);
    assert.notDeepEqual(problemsOf({ ...document, channels: { order: { addres: 'order.events' } } }), []);
  });

  it('has the topic of every service with all of its types', () => {
    const listed = Object.values(channels).flatMap(({ address, messages }) =>
      Object.keys(messages).map((type) => `${address} ${type}`),
    );
    const expected = Object.entries(EVENT_TYPES).map(([type, { source }]) => `${source}.events ${type}`);
    assert.deepEqual(listed.sort(), expected.sort());
  });

  it('has no reference that leads nowhere', () => {
    const references = [...JSON.stringify(document).matchAll(/"\$ref":"#\/([^"]+)"/g)].map(([, path]) => String(path));
    assert.ok(references.length > 50);
    for (const path of references) {
      const target = path.split('/').reduce<unknown>((at, key) => (at as Json | undefined)?.[key], document);
      assert.notEqual(target, undefined, path);
    }
  });

  it('has schemas that JSON Schema knows, and one of data for each aggregate', () => {
    for (const [name, schema] of Object.entries(components.schemas)) {
      assert.ok(ajv.validate(DRAFT_07, schema), `${name}: ${ajv.errorsText()}`);
    }
    const data = Object.keys(components.schemas).filter((name) => !(name in EVENT_TYPES));
    assert.deepEqual(data.sort(), ['envelope', 'inventory', 'order', 'payment', 'product', 'user']);
  });

  it('takes the events that we make, and no others', () => {
    const user = { userId: '7', username: 'mina', email: 'mina@shop.test', fullName: 'Mina Kim', status: 'ACTIVE' };
    const event = { ...shopEvent('UserCreated', '7', 1, 'seed', user), time: '2026-11-23T01:02:03.456789Z' };
    const check = payloadCheck(document, 'UserCreated');
    assert.ok(check(event), JSON.stringify(check.errors));
    assert.ok(check({ ...event, traceid: 'added on the way' }));
    for (const wrong of [
      { ...event, time: undefined },
      { ...event, type: 'UserUpdated' },
      { ...event, source: '/commerce-saga/order' },
      { ...event, data: { ...user, phone: '1' } },
      { ...event, aggregateVersion: 0 },
    ]) {
      assert.equal(check(JSON.parse(JSON.stringify(wrong))), false, JSON.stringify(wrong));
    }
  });

  it('names the personal fields, so that nobody copies them without knowing', () => {
    const telling = Object.entries(components.messages).filter(
      ([, message]) => 'x-personal-fields' in (message as Json),
    );
    assert.deepEqual(telling.map(([name]) => name).sort(), ['UserCreated', 'UserUpdated']);
  });

  it('keeps the versions that are no longer written: the bus may still have them', () => {
    const old = z.strictObject({ userId: z.string(), name: z.string() });
    const data = z.strictObject({ userId: z.string(), username: z.string() });
    const entry: EventTypeEntry = {
      ...{ source: 'platform', aggregate: 'user', version: 2, data },
      older: [olderVersion(old, ({ userId, name }) => ({ userId, username: name }))],
    };
    const aged = asyncApiDocument('1.2.3', { UserCreated: entry });
    assert.deepEqual(problemsOf(aged), []);
    const { messages } = (aged as unknown as Document).channels['platform'] ?? { messages: {} };
    assert.deepEqual(Object.keys(messages), ['UserCreated.v1', 'UserCreated']);

    const first = {
      ...shopEvent('UserCreated', '7', 1, 'seed', { ...USER }),
      ...{ time: '2026-11-23T01:02:03Z', data: { userId: '7', name: 'mina' } },
    };
    assert.ok(payloadCheck(aged, 'UserCreated.v1')(first));
    assert.equal(payloadCheck(aged, 'UserCreated')(first), false);
  });

  it('is what docs/asyncapi.yaml says', async () => {
    const text = readFileSync('docs/asyncapi.yaml', 'utf8');
    assert.equal(text, await asyncApiText(), 'run `npm run events:asyncapi`');
    assert.deepEqual(problemsOf(parse(text)), []);
  });
});

const USER = { userId: '7', username: 'mina', email: 'mina@shop.test', fullName: 'Mina Kim', status: 'ACTIVE' };
