import { z } from 'zod';

export type Json = Readonly<Record<string, unknown>>;

/** Formats whose pattern says in three hundred characters what the name of the format says in one word. */
const KNOWN_FORMATS: readonly unknown[] = ['date', 'date-time', 'uuid'];

/** Makes the schemas of one document: those that have a name (`.meta({ id })`) are collected as its components. */
export type Schemas = Readonly<{
  /** What may be sent: fields with a default may be left out. */
  ofRequest(schema: z.ZodType): Json;
  /** What is answered. Fields may be added to answers, so nobody is told that there are no others. */
  ofAnswer(schema: z.ZodType): Json;
  /** By name, in the order of the alphabet. */
  components(): Json;
}>;

/** @throws Error when two schemas have one name, or a schema cannot be written as JSON Schema */
export function collectSchemas(): Schemas {
  const named = new Map<string, Json>();

  const made = (schema: z.ZodType, io: 'input' | 'output'): Json => {
    const { $schema, $defs = {}, ...own } = z.toJSONSchema(schema, { io, override: (made) => tidy(made, io) });
    void $schema; // the document says once which dialect it is written in
    for (const [name, definition] of Object.entries($defs as Json)) keep(name, withComponents(definition) as Json);
    return withComponents(own) as Json;
  };
  const keep = (name: string, schema: Json): void => {
    const before = named.get(name);
    if (before !== undefined && JSON.stringify(before) !== JSON.stringify(schema)) {
      throw new Error(`two schemas of the API are called ${name}`);
    }
    named.set(name, schema);
  };
  return {
    ofRequest: (schema) => made(schema, 'input'),
    ofAnswer: (schema) => made(schema, 'output'),
    components: () => Object.fromEntries([...named].sort(([a], [b]) => (a < b ? -1 : 1))),
  };
}

function tidy({ jsonSchema }: { jsonSchema: z.core.JSONSchema.BaseSchema }, io: 'input' | 'output'): void {
  if (KNOWN_FORMATS.includes(jsonSchema.format)) delete jsonSchema.pattern;
  if (io === 'output' && jsonSchema.additionalProperties === false) delete jsonSchema.additionalProperties;
  delete jsonSchema['id'];
  if (jsonSchema.minimum === Number.MIN_SAFE_INTEGER) delete jsonSchema.minimum;
  if (jsonSchema.maximum === Number.MAX_SAFE_INTEGER) delete jsonSchema.maximum;
}

/** The same with every reference to a definition of its own made one to a component of the document. */
function withComponents(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(withComponents);
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(
    Object.entries(value).map(([key, part]) => [
      key,
      key === '$ref' ? String(part).replace('#/$defs/', '#/components/schemas/') : withComponents(part),
    ]),
  );
}
