import { createHmac, createPublicKey, type JsonWebKey } from 'node:crypto';

import {
  base64url,
  calculateJwkThumbprint,
  exportJWK,
  generateKeyPair,
  importJWK,
  type JWK,
  type JWTHeaderParameters,
  type JWTPayload,
  SignJWT,
} from 'jose';

import { developmentKey } from '../../infra/development-key.ts';
import type { World } from './world.ts';

/** What a header `Authorization` says, several times where it is a list. */
type Attack = readonly [what: string, authorization: string | readonly string[]];

const HOUR_S = 3_600;
const LONG = 10 * 1_024;

/** Tokens and headers that must not be believed, made by somebody who knows everything but the signing key. */
export async function attacks({
  api: { config, tokens },
  port,
}: Pick<World, 'api' | 'port'>): Promise<readonly Attack[]> {
  const jwk = await developmentKey(config.dataDir);
  const kid = await calculateJwkThumbprint(jwk);
  const key = await importJWK(jwk, 'ES256');
  const { issuer: iss, audience: aud } = config.jwt;
  const now = Math.floor(Date.now() / 1_000);
  const good: JWTPayload = { sub: '1', role: 'admin', iss, aud, iat: now, exp: now + HOUR_S };
  const header: JWTHeaderParameters = { alg: 'ES256', kid, typ: 'JWT' };
  const signed = (payload: JWTPayload, more: object = {}, by: Parameters<SignJWT['sign']>[0] = key) =>
    new SignJWT(payload).setProtectedHeader({ ...header, ...more }).sign(by);
  const without = (name: string) => Object.fromEntries(Object.entries(good).filter(([claim]) => claim !== name));

  const stranger = await generateKeyPair('ES256', { extractable: true });
  const strangerJwk = await exportJWK(stranger.publicKey);
  const url = `http://127.0.0.1:${port}/jwks.json`;
  const claims: Readonly<Record<string, JWTPayload>> = {
    'another audience': { ...good, aud: 'somebody-else' },
    'no audience': without('aud'),
    'another issuer': { ...good, iss: 'https://evil.test' },
    'no issuer': without('iss'),
    'an expired token': { ...good, exp: now - HOUR_S },
    'no expiry': without('exp'),
    'a token of the future': { ...good, nbf: now + HOUR_S },
    'an unknown role': { ...good, role: 'root' },
    'a role in capitals': { ...good, role: 'ADMIN' },
    'no role': without('role'),
    'a list of roles': { ...good, role: ['admin'] },
    'a role that every object has': { ...good, role: 'constructor' },
    'no subject': without('sub'),
    'a subject that is no id': { ...good, sub: "1' or '1'='1" },
    'a subject beyond bigint': { ...good, sub: '9'.repeat(30) },
    'an empty subject': { ...good, sub: '' },
  };
  const headers: Readonly<Record<string, object>> = {
    'a key id that is a path': { kid: '../../../../etc/passwd' },
    'a key id that is an address': { kid: url },
    'a key id that is SQL': { kid: "x' union select 'key" },
  };
  return [
    ['no algorithm', `Bearer ${unsigned({ ...header, alg: 'none' }, good)}.`],
    ['no algorithm, spelled otherwise', `Bearer ${unsigned({ ...header, alg: 'nOnE' }, good)}.`],
    ['the public key as a shared secret', `Bearer ${hmac(header, good, jwk)}`],
    ['no signature', `Bearer ${(await signed(good)).replace(/[^.]+$/, '')}`],
    ["another token's signature", `Bearer ${await mixed(signed(good), signed({ ...good, role: 'customer' }))}`],
    ['a key of somebody else', `Bearer ${await signed(good, {}, stranger.privateKey)}`],
    [
      'a key that the token brings',
      `Bearer ${await signed(good, { jwk: strangerJwk, kid: 'x' }, stranger.privateKey)}`,
    ],
    ['a key at an address', `Bearer ${await signed(good, { jku: url, x5u: url, kid: 'x' }, stranger.privateKey)}`],
    ...(await Promise.all(
      Object.entries(claims).map(async ([what, payload]): Promise<Attack> => [what, `Bearer ${await signed(payload)}`]),
    )),
    ...(await Promise.all(
      Object.entries(headers).map(async ([what, more]): Promise<Attack> => [
        what,
        `Bearer ${await signed(good, more)}`,
      ]),
    )),
    ['a token of 10 KB', `Bearer ${await signed({ ...good, x: 'x'.repeat(LONG) })}`],
    ['10 KB of nothing', `Bearer ${'x'.repeat(LONG)}`],
    ['two headers, the good one first', [`Bearer ${tokens.admin}`, 'Bearer x']],
    ['two headers, the good one last', ['Bearer x', `Bearer ${tokens.admin}`]],
    ['two good tokens', [`Bearer ${tokens.admin}`, `Bearer ${tokens.customer}`]],
    ['two tokens in one header', `Bearer ${tokens.admin}, Bearer ${tokens.customer}`],
    ['something behind the token', `Bearer ${tokens.admin} x`],
    ['a byte more', `Bearer ${tokens.admin}A`],
    ['another scheme', `Basic ${Buffer.from(`admin:${tokens.admin}`).toString('base64')}`],
    ['no scheme', tokens.admin],
    ['a scheme alone', 'Bearer '],
    ['an empty header', ''],
    ['no token at all', 'Bearer null'],
  ];
}

const part = (value: object): string => base64url.encode(JSON.stringify(value));

const unsigned = (header: object, payload: object): string => `${part(header)}.${part(payload)}`;

/** Signed with the text of the public key, which everybody has, as if it were a secret of both. */
function hmac(header: object, payload: object, { kty, crv, x, y }: JWK): string {
  const format = 'jwk';
  const pem = createPublicKey({ key: { kty, crv, x, y } as JsonWebKey, format }).export({
    type: 'spki',
    format: 'pem',
  });
  const text = unsigned({ ...header, alg: 'HS256' }, payload);
  return `${text}.${createHmac('sha256', pem).update(text).digest('base64url')}`;
}

/** The claims of one token under the signature of another. */
async function mixed(claims: Promise<string>, signature: Promise<string>): Promise<string> {
  return `${(await claims).replace(/[^.]+$/, '')}${(await signature).split('.')[2] ?? ''}`;
}
