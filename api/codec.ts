import type { Payload, PayloadCodec } from '@temporalio/common';
import cors from 'cors';
import { type RequestHandler, Router } from 'express';

import { CheckoutError } from '../domain/errors.ts';
import { UndecryptablePayload } from '../infra/payload-codec.ts';
import { callerOf } from './auth.ts';
import {
  CODEC_COOKIE,
  codecBody,
  decodePayloads,
  encodePayloads,
  openCodecSession,
  type WebPayload,
} from './contract/codec.ts';
import type { ApiDeps } from './deps.ts';
import { parsed } from './requests.ts';
import { type Route, route } from './routes.ts';

const COOKIE_VALUE = new RegExp(`(?:^|; )${CODEC_COOKIE}=([^;]+)`);
/** A working day. The token in it may end sooner. Milliseconds. */
const SESSION_MS = 8 * 3_600_000;
const PREFLIGHT_AGE_S = 600;
/** What Temporal Web sends. */
const ALLOWED_HEADERS = ['Authorization', 'Authorization-Extras', 'Content-Type', 'X-Namespace'];

/** Goes before CORS for other pages, and before tokens are looked at: a browser's preflight request has none. */
export function codecAccess({ config: { codecOrigins } }: Pick<ApiDeps, 'config'>): Router {
  const preflight = cors({
    origin: [...codecOrigins],
    methods: ['POST'],
    allowedHeaders: ALLOWED_HEADERS,
    credentials: true,
    maxAge: PREFLIGHT_AGE_S,
  });
  return Router().use([decodePayloads.path, encodePayloads.path], preflight, tokenFromCookie(codecOrigins));
}

/** From a page of an allowed origin the cookie counts as the token in it; from anywhere else it counts for nothing. */
const tokenFromCookie =
  (codecOrigins: readonly string[]): RequestHandler =>
  (req, _res, next) => {
    const token = COOKIE_VALUE.exec(req.get('cookie') ?? '')?.[1];
    const known = codecOrigins.includes(req.get('origin') ?? '');
    if (token !== undefined && known) req.headers.authorization ??= `Bearer ${token}`;
    next();
  };

/**
 * Decrypts and encrypts payloads for Temporal Web and the `temporal` command, for administrators. To encrypt gives them
 * nothing that they had not: workers take what is not encrypted as well.
 */
export function codecRoutes({ config, temporal, log }: Pick<ApiDeps, 'config' | 'temporal' | 'log'>): readonly Route[] {
  const { payloadCodecs } = temporal.client.options.loadedDataConverter;
  const known = refuseOtherOrigins(config.codecOrigins);
  return [
    route(decodePayloads, known, async (req, res) => {
      const { payloads } = parsed(codecBody, req.body);
      const missing = new Set<string>();
      const decoded = await Promise.all(payloads.map((payload) => decodedBy(payloadCodecs, payload, missing)));
      (req.log ?? log).info({ caller: callerOf(res).id, payloads: payloads.length }, 'payloads were decrypted');
      for (const reason of missing) (req.log ?? log).warn({ reason }, 'a payload could not be decrypted');
      res.set('Cache-Control', 'no-store').json({ payloads: decoded });
    }),
    route(encodePayloads, known, async (req, res) => {
      const { payloads } = parsed(codecBody, req.body);
      let encoded = payloads.map(fromWeb);
      for (const codec of payloadCodecs) encoded = await codec.encode(encoded);
      res.set('Cache-Control', 'no-store').json({ payloads: encoded.map(toWeb) });
    }),
    route(openCodecSession, (req, res) => {
      const token = (req.get('authorization') ?? '').replace(/^bearer +/i, '');
      const secure = config.mode === 'production' || req.secure;
      const options = { path: '/v1/codec', httpOnly: true, sameSite: 'strict', maxAge: SESSION_MS, secure } as const;
      res
        .set('Cache-Control', 'no-store')
        .cookie(CODEC_COOKIE, token, { ...options, encode: String })
        .status(204)
        .end();
    }),
  ];
}

/** CORS keeps a page from reading the answer; this keeps it from getting one. Commands send no origin. */
const refuseOtherOrigins =
  (codecOrigins: readonly string[]): RequestHandler =>
  (req, _res, next) => {
    const origin = req.get('origin');
    if (origin !== undefined && !codecOrigins.includes(origin)) {
      throw new CheckoutError('FORBIDDEN', 'pages of this origin may not decrypt payloads: see CODEC_ORIGINS');
    }
    next();
  };

/** One at a time: a payload that cannot be decrypted must not hide the others. */
async function decodedBy(
  codecs: readonly PayloadCodec[],
  payload: WebPayload,
  missing: Set<string>,
): Promise<WebPayload> {
  try {
    const given = fromWeb(payload);
    let decoded = given;
    for (const codec of codecs) [decoded = given] = await codec.decode([decoded]);
    return decoded === given ? payload : { ...payload, ...toWeb(decoded) };
  } catch (error) {
    if (!(error instanceof UndecryptablePayload)) throw error;
    missing.add(error.message);
    return payload;
  }
}

const fromWeb = ({ metadata = {}, data = '' }: WebPayload): Payload => ({
  metadata: Object.fromEntries(Object.entries(metadata).map(([name, value]) => [name, Buffer.from(value, 'base64')])),
  data: Buffer.from(data, 'base64'),
});

const toWeb = ({ metadata, data }: Payload): WebPayload => ({
  metadata: Object.fromEntries(Object.entries(metadata ?? {}).map(([name, value]) => [name, base64(value)])),
  data: base64(data ?? new Uint8Array()),
});

const base64 = (bytes: Uint8Array): string => Buffer.from(bytes).toString('base64');
