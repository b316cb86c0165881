import { type ErrorCode, httpStatusOf } from '../domain/errors.ts';
import { problem } from './contract/errors.ts';
import { type Access, type Answer, type Operation, refusalsOf, TAGS } from './contract/operation.ts';
import { ANSWER_HEADERS, headerReference, parameterReference, REQUEST_HEADERS } from './open-api-headers.ts';
import { collectSchemas, type Json, type Schemas } from './open-api-schemas.ts';

/** Of the contract, not of the release: it grows when clients can see a difference. */
const API_VERSION = '1.0.0';

const ABOUT = `A durable checkout: stock is set aside, an order is made, the payment is taken, or all of it is undone.

Amounts are integers in the minor unit of their ISO 4217 currency, ids of the catalogue are digits in strings, moments are
ISO 8601 in UTC. A request with a field that is not described is refused; answers may get more fields.

**Errors** are \`application/problem+json\` (RFC 9457) with a stable \`code\`. Whatever has no operation here is answered
\`NOT_FOUND\`, another method of a path \`METHOD_NOT_ALLOWED\` with \`Allow\`; every GET answers HEAD as well. Headers that are
too large, or a request that comes too slowly, end with the connection: \`HEADERS_TOO_LARGE\` and \`REQUEST_TIMEOUT\`.

**Tokens** are bearer JWTs whose \`sub\` is the user's id and whose \`role\` is \`customer\` or \`admin\`. What belongs to somebody
else does not exist: 404.

**Repeating** is safe: GET always, and a change with the same \`Idempotency-Key\`, which gets the first answer again.`;

const TAG_TEXTS: Readonly<Record<(typeof TAGS)[number], string>> = {
  checkout: 'Buying, and what payment providers tell about it.',
  orders: 'What was bought: looking at it, cancelling it, giving money back.',
  catalogue: 'What is sold.',
  users: 'Who buys.',
  inventory: 'What is in stock, and why.',
  sales: 'What was sold, by day.',
  operations: 'For whoever is on call.',
  system: 'This process and its documents.',
};

/** What the status itself says, where an answer has no words of its own. */
const STATUS_TEXTS: Readonly<Record<number, string>> = {
  400: 'The request cannot be read.',
  401: 'It is not known who asks.',
  402: 'The payment was declined.',
  403: 'The role of the caller does not allow it.',
  404: 'It does not exist, or belongs to somebody else.',
  409: 'It cannot be done as things are.',
  412: 'It was changed since.',
  413: 'The body is too large.',
  415: 'The body is not JSON.',
  422: 'The request can be read and makes no sense here.',
  429: 'Too much at once.',
  500: 'A defect of ours; the log has it under the `X-Request-Id`.',
  503: 'A service behind this one does not answer.',
};

/**
 * The OpenAPI 3.1 document of operations. Schemas are what zod makes of the declarations (docs/decisions/0029); checks that
 * JSON Schema has no word for are in their descriptions. The dialect is the default one, 2020-12 with OpenAPI's additions.
 *
 * @throws Error for a declaration that no document can be made of
 */
export function openApiDocument(operations: readonly Operation[]): Json {
  const schemas = collectSchemas();
  const paths: Record<string, Record<string, Json>> = {};
  for (const operation of operations) {
    const methods = (paths[operation.path] ??= {});
    if (methods[operation.method] !== undefined) throw new Error(`${operation.id} is declared twice`);
    methods[operation.method] = operationObject(operation, schemas);
  }
  schemas.ofAnswer(problem);
  return {
    openapi: '3.1.1',
    info: {
      title: 'Commerce Saga',
      version: API_VERSION,
      description: ABOUT,
      license: { name: 'Apache-2.0', identifier: 'Apache-2.0' },
    },
    servers: [{ url: '/', description: 'The API that serves this document' }],
    tags: TAGS.map((name) => ({ name, description: TAG_TEXTS[name] })),
    paths,
    components: {
      securitySchemes: {
        bearer: { type: 'http', scheme: 'bearer', bearerFormat: 'JWT', description: "A token of the shop's issuer." },
        ...Object.fromEntries(
          operations.flatMap(({ cookie }) => (cookie === undefined ? [] : [[cookie, heldIn(cookie)]])),
        ),
      },
      parameters: Object.fromEntries(
        Object.entries(REQUEST_HEADERS).map(([name, header]) => [name, { name, in: 'header', ...header }]),
      ),
      headers: ANSWER_HEADERS,
      schemas: schemas.components(),
    },
  };
}

function operationObject(operation: Operation, schemas: Schemas): Json {
  const { id, tag, summary, description, access, cookie, body } = operation;
  const who = whoMay(access);
  return {
    operationId: id,
    tags: [tag],
    summary,
    description: description === undefined ? who.text : `${description}\n\n${who.text}`,
    security: cookie === undefined ? who.security : [...who.security, { [cookie]: [] }],
    ...(who.roles && { 'x-roles': who.roles }),
    parameters: parametersOf(operation, schemas),
    ...(body && {
      requestBody: { required: true, content: { 'application/json': { schema: schemas.ofRequest(body) } } },
    }),
    responses: responsesOf(operation, schemas),
  };
}

/** A scheme of its own: the token in a cookie. */
const heldIn = (name: string): Json => ({ type: 'apiKey', in: 'cookie', name, description: 'Holds such a token.' });

function whoMay(access: Access): Readonly<{ text: string; security: readonly Json[]; roles?: readonly string[] }> {
  if (access === 'probe') return { text: '**Who:** anybody, without a limit.', security: [] };
  if (access === 'signature') return { text: '**Who:** whoever signs the body with a live secret.', security: [] };
  if (access === 'public') return { text: '**Who:** anybody; a token that is sent must be good.', security: [] };
  return { text: `**Who:** ${access.join(', ')}.`, security: [{ bearer: [] }], roles: access };
}

function parametersOf({ params, query, headers = [] }: Operation, schemas: Schemas): Json[] {
  const inPath = params === undefined ? [] : fieldsOf(schemas.ofRequest(params), 'path');
  const inQuery = query === undefined ? [] : fieldsOf(schemas.ofRequest(query), 'query');
  return [...inPath, ...inQuery, ...['X-Request-Id', ...headers].map(parameterReference)];
}

/** One parameter for each field of an object. */
function fieldsOf({ properties, required = [] }: Json, place: 'path' | 'query'): Json[] {
  return Object.entries(properties as Readonly<Record<string, Json>>).map(([name, { description, ...schema }]) => ({
    name,
    in: place,
    required: place === 'path' || (required as readonly string[]).includes(name),
    ...(description !== undefined && { description }),
    schema,
  }));
}

function responsesOf(operation: Operation, schemas: Schemas): Json {
  const responses: Record<string, Json> = {};
  for (const [status, answer] of Object.entries(operation.answers)) {
    responses[status] = answerObject(answer, operation.access, schemas);
  }
  for (const [status, codes] of byStatus(refusalsOf(operation))) {
    if (responses[status] !== undefined) throw new Error(`${operation.id} both answers and refuses with ${status}`);
    responses[status] = refusalObject(status, codes, operation.access, schemas);
  }
  return responses;
}

function byStatus(codes: readonly ErrorCode[]): ReadonlyMap<number, readonly ErrorCode[]> {
  const statuses = new Set(codes.map(httpStatusOf));
  return new Map([...statuses].map((status) => [status, codes.filter((code) => httpStatusOf(code) === status)]));
}

function answerObject({ description, body, mediaType, headers = [] }: Answer, access: Access, schemas: Schemas): Json {
  const content =
    body === undefined
      ? mediaType && { [mediaType]: { schema: { type: 'string' } } }
      : { 'application/json': { schema: schemas.ofAnswer(body) } };
  return { description, headers: headersOf([...generalHeaders(access), ...headers]), ...(content && { content }) };
}

function refusalObject(status: number, codes: readonly ErrorCode[], access: Access, schemas: Schemas): Json {
  const headers = [...generalHeaders(access)];
  if (status === 401) headers.push('WWW-Authenticate');
  if (status === 503) headers.push('Retry-After');
  // Counted out by us it says when to come back; a refusal of the shop's, of the same status, does not.
  const more = status === 429 ? { 'Retry-After': { ...ANSWER_HEADERS['Retry-After'], required: false } } : {};
  const schema = { allOf: [schemas.ofAnswer(problem), { properties: { code: { enum: [...codes].sort() } } }] };
  return {
    description: STATUS_TEXTS[status] ?? codes.join(', '),
    headers: { ...headersOf(headers), ...more },
    content: { 'application/problem+json': { schema } },
  };
}

const generalHeaders = (access: Access): string[] =>
  access === 'probe' || access === 'signature' ? ['X-Request-Id'] : ['X-Request-Id', 'RateLimit', 'RateLimit-Policy'];

const headersOf = (names: readonly string[]): Json =>
  Object.fromEntries(names.map((name) => [name, headerReference(name)]));
