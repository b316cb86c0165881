import type { AnswerHeader, RequestHeader } from './contract/operation.ts';
import type { Json } from './open-api-schemas.ts';

const text = { type: 'string' };

/** Parameters of the document, by header. */
export const REQUEST_HEADERS: Readonly<Record<RequestHeader | 'X-Request-Id', Json>> = {
  'X-Request-Id': header('An id of the caller for this request, which the answer and our log repeat.', {
    schema: { type: 'string', pattern: '^[\\w-]{1,64}$' },
  }),
  'Idempotency-Key': header(
    'A new one for each purchase or change; the same one for its repetitions. Bare, or quoted as a structured field.',
    { required: true, schema: { type: 'string', minLength: 1, maxLength: 257, examples: ['5f2f7a1e-8a37-4d1c'] } },
  ),
  'If-Match': header('`ETag` of what is changed: refused with VERSION_MISMATCH when it was changed since.'),
  'If-None-Match': header('`ETag` of what the caller has: answered 304 when it is the same.'),
  'Last-Event-ID': header('`id` of the last event that arrived: the stream goes on behind it.'),
  Prefer: header('`respond-async` waits for nothing; `wait=N` waits for the end, at most 30 seconds.', {
    schema: { ...text, examples: ['respond-async', 'wait=10'] },
  }),
  'Read-After': header(
    'That of an earlier answer: the read is held back, at most two seconds, until the view shows that write.',
  ),
};

/** `required`: on every answer that declares it. */
export const ANSWER_HEADERS: Readonly<Record<AnswerHeader | GeneralHeader, Json>> = {
  'X-Request-Id': header('The id of the request, in our log as well.', { required: true }),
  RateLimit: header('What is left of the requests that the caller may make: draft-ietf-httpapi-ratelimit-headers-07.'),
  'RateLimit-Policy': header('How many requests, in how many seconds.'),
  'WWW-Authenticate': header('How to say who asks.', { required: true }),
  ETag: header('The version of what is answered.', { required: true }),
  'Idempotent-Replayed': header('`true` when this request was made before.'),
  Location: header('Where the order is.', { required: true, schema: { ...text, format: 'uri-reference' } }),
  'Preference-Applied': header('The `Prefer` that was followed.'),
  'Read-After': header('Send it with a list: it will show what this answer shows.', { required: true }),
  'Read-After-Applied': header('Whether the list shows the write that `Read-After` named: `true` or `false`.'),
  'Set-Cookie': header('A cookie that no script can read.', { required: true }),
  'Retry-After': header('Seconds to wait before the request is repeated.', {
    required: true,
    schema: { type: 'integer', minimum: 0 },
  }),
};

/** Headers that follow from the status, or that every answer has. */
type GeneralHeader = 'X-Request-Id' | 'RateLimit' | 'RateLimit-Policy' | 'WWW-Authenticate';

/** Names of the components, which may have no such thing as a second spelling. */
export const headerReference = (name: string): Json => ({ $ref: `#/components/headers/${name}` });
export const parameterReference = (name: string): Json => ({ $ref: `#/components/parameters/${name}` });

function header(description: string, more: Json = {}): Json {
  return { description, schema: text, ...more };
}
