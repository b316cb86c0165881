import fc from 'fast-check';
import { z } from 'zod';

type Schema = Readonly<{
  type?: string;
  enum?: readonly unknown[];
  const?: unknown;
  pattern?: string;
  minimum?: number;
  maximum?: number;
  maxItems?: number;
  maxLength?: number;
  properties?: Readonly<Record<string, Schema>>;
  required?: readonly string[];
  additionalProperties?: boolean | Schema;
  items?: Schema;
  anyOf?: readonly Schema[];
  oneOf?: readonly Schema[];
  $ref?: string;
  $defs?: Readonly<Record<string, Schema>>;
}>;

/** Nobody expects these. As text of JSON they may be what `JSON.stringify` would not write. */
const NASTY: readonly unknown[] = [
  ...[null, true, '', ' ', 0, -1, 2 ** 53 + 2, 1e308, 5e-324, '\u0000', '\ud800', '__proto__', '🙈', [], {}, [[]]],
  ...['x'.repeat(5_000), "'; drop table users; --", '${7*7}', '../../etc/passwd', '<script>alert(1)</script>', '1e309'],
];

/** Values as a schema of requests describes them, about one in eight of their parts something else. */
export function fromSchema(schema: z.ZodType): fc.Arbitrary<unknown> {
  const root = z.toJSONSchema(schema, { io: 'input', unrepresentable: 'any' }) as Schema;
  return valueOf(root, root.$defs ?? {});
}

function valueOf(schema: Schema, defs: Readonly<Record<string, Schema>>): fc.Arbitrary<unknown> {
  return fc.oneof(
    { weight: 7, arbitrary: fittingValueOf(schema, defs) },
    { weight: 1, arbitrary: fc.constantFrom(...NASTY) },
  );
}

function fittingValueOf(schema: Schema, defs: Readonly<Record<string, Schema>>): fc.Arbitrary<unknown> {
  const name = schema.$ref?.replace('#/$defs/', '');
  if (name !== undefined) return valueOf(defs[name] ?? {}, defs);
  const choices = schema.anyOf ?? schema.oneOf;
  if (choices !== undefined) return fc.oneof(...choices.map((choice) => valueOf(choice, defs)));
  if (schema.enum !== undefined) return fc.constantFrom(...schema.enum);
  if (schema.const !== undefined) return fc.constant(schema.const);
  const { minimum = -1e6, maximum = 1e6 } = schema;
  switch (schema.type) {
    case 'object':
      return fieldsOf(schema, defs);
    case 'array':
      return fc.array(valueOf(schema.items ?? {}, defs), { maxLength: Math.min(schema.maxItems ?? 5, 5) });
    case 'integer':
    case 'number':
      return fc.oneof(
        fc.constantFrom(minimum, maximum),
        fc.integer({ min: Math.ceil(minimum), max: Math.floor(maximum) }),
      );
    case 'boolean':
      return fc.boolean();
    case 'string':
      return fc.oneof(
        fc.constantFrom('102', 'MAIN', 'KRW', 'tok_ok', 'STOCKTAKE', 'kitchen', 'a@shop.test'),
        fc.string({ maxLength: 40, unit: 'grapheme' }),
      );
    case 'null':
      return fc.constant(null);
    case undefined:
    default:
      return fc.jsonValue({ maxDepth: 3 });
  }
}

function fieldsOf(
  { properties = {}, required = [], additionalProperties }: Schema,
  defs: Readonly<Record<string, Schema>>,
) {
  const fields = Object.fromEntries(Object.entries(properties).map(([name, field]) => [name, valueOf(field, defs)]));
  const known = fc.record(fields, { requiredKeys: [...required] });
  if (typeof additionalProperties !== 'object') return known;
  return fc
    .tuple(known, fc.dictionary(fc.string({ maxLength: 10 }), valueOf(additionalProperties, defs), { maxKeys: 3 }))
    .map(([own, more]) => ({ ...more, ...own }));
}
