import {
  calculateJwkThumbprint,
  createLocalJWKSet,
  importJWK,
  type JWK,
  jwtVerify,
  type JWTVerifyGetKey,
  SignJWT,
} from 'jose';

import { isDatabaseId } from '../domain/ids.ts';
import { type Role, ROLES } from '../domain/roles.ts';
import { type Config, ConfigError } from './config.ts';
import { developmentKey } from './development-key.ts';
import { identityKeys, KeysUnavailable } from './identity-keys.ts';
import type { Logger } from './log.ts';

/** Who asks: `id` is `users.id`, a digit string. `expiresAt`: of the token, milliseconds since 1970. */
export type Caller = Readonly<{ id: string; role: Role; expiresAt: number }>;

/** @throws InvalidToken for every token that must not be believed, whatever the reason; KeysUnavailable as `identityKeys` */
export type VerifyToken = (token: string) => Promise<Caller>;

/** Thrown for a bad token. The reason is for our log alone: a caller learns nothing from it. */
export class InvalidToken extends Error {}

const DEVELOPMENT_ALGORITHM = 'ES256';
/** Asymmetric only: with a symmetric one in the list, our public key would pass as a shared secret. */
const PRODUCTION_ALGORITHMS = ['ES256', 'ES384', 'EdDSA', 'PS256', 'RS256'];
const CLOCK_TOLERANCE_S = 5;
const LONGEST_TOKEN = 4_096;
/** Of the three tokens that `npm start` prints: a working week and a bit. */
const DEVELOPMENT_TOKEN_LIFE = '7d';

/**
 * The check of bearer tokens: JWKS_URL when it is set, else the local development key.
 *
 * @param log told when the keys of the identity provider cannot be fetched, and when they can again
 * @throws ConfigError in production without JWKS_URL, or with one that anybody on the way could answer
 */
export async function tokenVerifier(config: Config, log?: Logger): Promise<VerifyToken> {
  const { jwksUrl, issuer, audience } = config.jwt;
  const key = jwksUrl === undefined ? await developmentKeySet(config) : identityKeys(keysUrl(jwksUrl, config), { log });
  const algorithms = jwksUrl === undefined ? [DEVELOPMENT_ALGORITHM] : PRODUCTION_ALGORITHMS;

  return async (token) => {
    if (token.length > LONGEST_TOKEN) throw new InvalidToken('longer than any token of ours');
    try {
      const { payload } = await jwtVerify(token, key, {
        algorithms,
        issuer,
        audience,
        requiredClaims: ['exp', 'sub'],
        clockTolerance: CLOCK_TOLERANCE_S,
      });
      return { ...callerOf(payload.sub, payload['role']), expiresAt: (payload.exp ?? 0) * 1_000 };
    } catch (error) {
      throw error instanceof KeysUnavailable ? error : asInvalid(error);
    }
  };
}

/**
 * Signs a token with the development key.
 *
 * @param expires a span such as `1h` or `7d`
 * @throws ConfigError when JWKS_URL is set: somebody else issues the tokens then
 */
export async function signToken(
  config: Config,
  { sub, role, expires }: Readonly<{ sub: string; role: Role; expires: string }>,
): Promise<string> {
  if (config.jwt.jwksUrl !== undefined) {
    throw new ConfigError(
      'JWKS_URL is set: tokens come from your identity provider, and a local one would be refused.',
    );
  }
  const jwk = await developmentKey(config.dataDir);
  return new SignJWT({ role })
    .setProtectedHeader({ alg: DEVELOPMENT_ALGORITHM, kid: await calculateJwkThumbprint(jwk), typ: 'JWT' })
    .setSubject(sub)
    .setIssuer(config.jwt.issuer)
    .setAudience(config.jwt.audience)
    .setIssuedAt()
    .setExpirationTime(expires)
    .sign(await importJWK(jwk, DEVELOPMENT_ALGORITHM));
}

/** The three tokens that `npm start` prints: the users 1 and 2 of the seed, and the administrator 100. */
export async function developmentTokens(
  config: Config,
): Promise<{ customer: string; otherCustomer: string; admin: string }> {
  const expires = DEVELOPMENT_TOKEN_LIFE;
  const [customer, otherCustomer, admin] = await Promise.all([
    signToken(config, { sub: '1', role: 'customer', expires }),
    signToken(config, { sub: '2', role: 'customer', expires }),
    signToken(config, { sub: '100', role: 'admin', expires }),
  ]);
  return { customer, otherCustomer, admin };
}

async function developmentKeySet(config: Config): Promise<JWTVerifyGetKey> {
  if (config.mode === 'production') {
    throw new ConfigError(
      'JWKS_URL is not set. In production tokens are checked with the keys of an identity provider.',
    );
  }
  const jwk = await developmentKey(config.dataDir);
  return createLocalJWKSet({ keys: [{ ...publicPart(jwk), kid: await calculateJwkThumbprint(jwk) }] });
}

/** Whoever answers for the provider decides who everybody is. */
function keysUrl(text: string, { mode }: Config): URL {
  const url = new URL(text);
  if (url.username !== '' || url.password !== '') {
    throw new ConfigError('JWKS_URL must hold no user and password: key sets are public, and it is sent without them.');
  }
  if (mode === 'production' && url.protocol !== 'https:' && !LOOPBACK.test(url.hostname)) {
    throw new ConfigError('JWKS_URL must begin with https:// in production, unless it is on this machine.');
  }
  return url;
}

/** As `URL` writes host names. */
const LOOPBACK = /^(localhost|127(\.\d{1,3}){3}|\[::1\])$/;

const publicPart = ({ kty, crv, x, y }: JWK): JWK => ({ kty, crv, x, y });

function callerOf(sub: unknown, role: unknown): Omit<Caller, 'expiresAt'> {
  if (typeof sub !== 'string' || !isDatabaseId(sub)) throw new InvalidToken('sub is not the id of a user');
  const known = ROLES.find((name) => name === role);
  if (known === undefined) throw new InvalidToken('role is missing or unknown');
  return { id: sub, role: known };
}

const asInvalid = (error: unknown): InvalidToken =>
  error instanceof InvalidToken ? error : new InvalidToken(String(error), { cause: error });
