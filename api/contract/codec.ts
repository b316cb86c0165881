import { z } from 'zod';

import type { Operation } from './operation.ts';

/** As protobuf writes bytes in JSON. */
const base64 = z.string().regex(/^[A-Za-z0-9+/]*={0,2}$/, 'must be base64');

/** What a newer Temporal adds to it comes back as it was. */
const payload = z.looseObject({
  metadata: z.record(z.string(), base64).optional(),
  data: base64.optional(),
});
export type WebPayload = z.infer<typeof payload>;

const MOST_PAYLOADS = 5_000;

/** The `temporal` command leaves `payloads` out where there are none. */
export const codecBody = z.strictObject({ payloads: z.array(payload).max(MOST_PAYLOADS).default([]) });

/** Holds a token, for pages of Temporal Web. */
export const CODEC_COOKIE = 'codec-session';

const common = {
  method: 'post',
  tag: 'operations',
  access: ['admin'],
  cookie: CODEC_COOKIE,
  body: codecBody,
  largestBodyBytes: 2 * 1_024 * 1_024,
  answers: {
    200: { description: 'The same payloads, in their order.', body: z.object({ payloads: z.array(payload) }) },
  },
} as const;

export const decodePayloads = {
  ...common,
  id: 'decodePayloads',
  path: '/v1/codec/decode',
  summary: 'Decrypt payloads of workflows',
  description:
    "Temporal's codec protocol, for Temporal Web and the `temporal` command: their codec endpoint is this path without `/decode`. Pages are answered from the origins in `CODEC_ORIGINS` alone. A payload that is not encrypted, or whose key is missing here, comes back as it was.",
} as const satisfies Operation;

export const encodePayloads = {
  ...common,
  id: 'encodePayloads',
  path: '/v1/codec/encode',
  summary: 'Encrypt payloads for workflows',
  description:
    'The other half of the protocol: with a codec endpoint, the `temporal` command encodes what it sends, even the missing arguments of a query. Payloads come back as they were where encryption is off.',
} as const satisfies Operation;

export const openCodecSession = {
  id: 'openCodecSession',
  method: 'post',
  path: '/v1/codec/session',
  tag: 'operations',
  summary: 'Let Temporal Web in this browser decrypt payloads',
  description:
    'Keeps the token of this request for eight hours in a cookie that no script can read and that only `decodePayloads` and `encodePayloads` take, for a Temporal Web that has no token of its own: choose "Include cross-origin credentials" there.',
  access: ['admin'],
  answers: { 204: { description: 'The cookie is set.', headers: ['Set-Cookie'] } },
} as const satisfies Operation;
