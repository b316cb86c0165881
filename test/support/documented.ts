import { Ajv2020, type ValidateFunction } from 'ajv/dist/2020.js';

import { OPERATIONS } from '../../api/contract/operations.ts';
import { openApiDocument } from '../../api/open-api.ts';
import type { Json } from '../../api/open-api-schemas.ts';

/** An answer as it was sent. Names of headers in small letters. */
export type SentAnswer = Readonly<{
  method: string;
  /** Path and query. */
  path: string;
  status: number;
  headers: Readonly<Record<string, string | undefined>>;
  /** Empty also where the body is of no interest, such as that of a stream. */
  body: string;
}>;

type Media = Readonly<Record<string, Readonly<{ schema: Json }>>>;
type Response = Readonly<{ headers: Readonly<Record<string, Json>>; content?: Media }>;
type Document = Readonly<{
  paths: Readonly<Record<string, Readonly<Record<string, Readonly<{ responses: Record<string, Response> }>>>>>;
  components: Readonly<{ headers: Readonly<Record<string, Json>>; schemas: Json }>;
}>;

/** For what belongs to no operation: other paths, other methods, and requests for leave of pages elsewhere. */
const OUTSIDE: Readonly<Record<number, readonly string[]>> = {
  400: ['MALFORMED_REQUEST'],
  401: ['UNAUTHENTICATED'],
  404: ['NOT_FOUND'],
  405: ['METHOD_NOT_ALLOWED'],
  429: ['TOO_MANY_REQUESTS'],
  503: ['TEMPORARILY_UNAVAILABLE'],
};

const FORMATS = {
  date: /^\d{4}-\d\d-\d\d$/,
  'date-time': /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z$/,
  uuid: /^[\da-f]{8}(-[\da-f]{4}){3}-[\da-f]{12}$/i,
  uri: (text: string) => URL.canParse(text),
  'uri-reference': (text: string) => URL.canParse(text, 'http://base.test'),
  email: true,
} as const;

/**
 * Compares answers with an OpenAPI document: the status must be declared, the type of the body be the one that is said, no
 * field be missing or more than is said, and no header be missing that every such answer has.
 *
 * @returns a function that says what is wrong with an answer; undefined when nothing is
 */
export function documentCheck(document: Json): (answer: SentAnswer) => string | undefined {
  const { paths, components } = closed(document) as Document;
  const ajv = new Ajv2020({ strict: false, allErrors: true, validateSchema: false, formats: FORMATS });
  ajv.addSchema({ $id: 'api', components });
  const compiled = new Map<object, ValidateFunction>();
  const templates = Object.keys(paths)
    .map((path) => ({ path, pattern: patternOf(path) }))
    .sort((a, b) => parametersIn(a.path) - parametersIn(b.path)); // /v1/users/me before /v1/users/{userId}

  const schemaProblem = (schema: Json, value: unknown): string | undefined => {
    const check = compiled.get(schema) ?? ajv.compile(withReferences(schema));
    compiled.set(schema, check);
    return check(value) ? undefined : ajv.errorsText(check.errors, { dataVar: 'body', separator: '; ' });
  };
  const outside = ({ method, status, headers, body }: SentAnswer): string | undefined => {
    if (method === 'OPTIONS' && status === 204) return undefined;
    const codes = OUTSIDE[status];
    if (codes === undefined) return `belongs to no operation, and is answered ${status}`;
    if (status === 405 && headers['allow'] === undefined) return 'lacks Allow';
    const problem = { allOf: [{ $ref: '#/components/schemas/Problem' }, { properties: { code: { enum: codes } } }] };
    return bodyProblem({ 'application/problem+json': { schema: problem } }, method, headers, body);
  };
  const bodyProblem = (
    content: Media | undefined,
    method: string,
    headers: SentAnswer['headers'],
    body: string,
  ): string | undefined => {
    const sent = headers['content-type'];
    if (content === undefined) return body === '' ? undefined : 'has a body, which no one declared';
    const [media, described] = Object.entries(content)[0] ?? ['', undefined];
    const type = sent?.split(';', 1)[0]?.trim() ?? 'nothing';
    if (media !== '*/*' && type !== media) return `is ${type}, not ${media}`;
    if (method === 'HEAD' || described === undefined || !/\bjson$/.test(media)) return undefined;
    return schemaProblem(described.schema, jsonIn(body));
  };
  const missing = (declared: Response['headers'], headers: SentAnswer['headers']): string | undefined => {
    const names = Object.entries(declared)
      .filter(
        ([name, header]) =>
          resolved(header, components.headers)['required'] === true && !(name.toLowerCase() in headers),
      )
      .map(([name]) => name);
    return names.length === 0 ? undefined : `lacks ${names.join(', ')}`;
  };

  return (answer) => {
    const { method, path, status, headers, body } = answer;
    const template = templates.find(({ pattern }) => pattern.test(path.split('?', 1)[0] ?? ''))?.path;
    const operation = template && paths[template]?.[method === 'HEAD' ? 'get' : method.toLowerCase()];
    if (!operation) return outside(answer);
    const response = operation.responses[status];
    if (response === undefined) return `${status} is not declared`;
    return missing(response.headers, headers) ?? bodyProblem(response.content, method, headers, body);
  };
}

let ofApi: ReturnType<typeof documentCheck> | undefined;

/** What is wrong with an answer of the API, as its own document says; undefined when nothing is. */
export function apiCheck(answer: SentAnswer): string | undefined {
  ofApi ??= documentCheck(openApiDocument(OPERATIONS));
  return ofApi(answer);
}

/** @throws Error for an answer that is not as the document says */
export function assertDocumented(answer: SentAnswer): void {
  const wrong = apiCheck(answer);
  if (wrong !== undefined) throw new Error(undocumented(answer, wrong));
}

export const undocumented = ({ method, path, status, body }: SentAnswer, wrong: string): string =>
  `${method} ${path} answered ${status}, which is not as the OpenAPI document says: ${wrong}\n${body.slice(0, 2_000)}`;

/** Answers may get more fields one day, and readers must bear it; today every one of them has to be described. */
function closed(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(closed);
  if (typeof value !== 'object' || value === null) return value;
  const copy = Object.fromEntries(Object.entries(value).map(([key, part]) => [key, closed(part)]));
  const isOpen = copy['type'] === 'object' && 'properties' in copy && !('additionalProperties' in copy);
  return isOpen ? { ...copy, additionalProperties: false } : copy;
}

/** References lead to the document that was added as `api`. */
function withReferences(value: unknown): Json {
  return JSON.parse(JSON.stringify(value).replaceAll('"#/components/', '"api#/components/')) as Json;
}

const resolved = (header: Json, components: Readonly<Record<string, Json>>): Json =>
  components[String(header['$ref']).split('/').at(-1) ?? ''] ?? header;

/** As Express matches by default: in any case, with or without a slash at the end. */
const patternOf = (path: string): RegExp =>
  new RegExp(`^${path.replaceAll('.', '\\.').replaceAll(/\{\w+\}/g, '[^/]+')}/?$`, 'i');

const parametersIn = (path: string): number => path.split('{').length;

function jsonIn(body: string): unknown {
  try {
    return JSON.parse(body);
  } catch {
    return undefined; // fits no schema of ours
  }
}
