import { createPublicKey, type JsonWebKey } from 'node:crypto';

import { createLocalJWKSet, errors, type JSONWebKeySet, type JWK, type JWTVerifyGetKey } from 'jose';
import { z } from 'zod';

import type { Logger } from './log.ts';

/** Thrown when the keys of the identity provider cannot be had: the token may be good. */
export class KeysUnavailable extends Error {}

export type IdentityKeysOptions = Readonly<{
  log?: Logger | undefined;
  /** Milliseconds since any instant. */
  now?: () => number;
}>;

/** For one answer of the provider, body included, milliseconds. */
const FETCH_LIMIT_MS = 3_000;
/** Bytes. A set with certificate chains has some ten thousand. */
const LONGEST_SET = 256 * 1_024;
/** From then on the keys are fetched again, while those that are known go on. Milliseconds. */
const FRESH_MS = 5 * 60_000;
/** A key that the provider has removed is believed no longer than this while the provider answers. Milliseconds. */
export const BELIEVED_MS = 10 * 60_000;
/** While the provider does not answer, its last keys are believed that long: then nobody knows who asks. Milliseconds. */
export const KEPT_MS = 24 * 3_600_000;
/** Between two fetches, whatever tokens ask for, and after one that failed: strangers must not make us hammer it. */
export const COOL_DOWN_MS = 10_000;
export const RETRY_PAUSE_MS = 2_000;

const keySet = z.object({ keys: z.array(z.looseObject({ kty: z.string() })).max(1_000) });

/**
 * The keys of an identity provider, by its JWKS address. An unknown key id has them fetched again at once, at most every
 * ten seconds, so that a rotation needs no restart. What is no answer (nothing, too slow, too long, a redirect, rubbish, a
 * set without a key that we can use) changes nothing: the keys that are known go on for a day. Key ids are compared as
 * strings; addresses and keys in a token's own header are not looked at.
 *
 * The key getter throws KeysUnavailable when it cannot know whether there is such a key.
 */
export function identityKeys(
  url: URL,
  { log, now = () => performance.now() }: IdentityKeysOptions = {},
): JWTVerifyGetKey {
  let known: Readonly<{ find: ReturnType<typeof createLocalJWKSet>; sinceMs: number }> | undefined;
  let triedMs = -Infinity;
  let failure: unknown;
  let pending: Promise<void> | undefined;

  const load = async (): Promise<void> => {
    triedMs = now();
    try {
      const find = createLocalJWKSet(await fetchKeys(url));
      known = { find, sinceMs: now() };
      if (failure !== undefined) log?.info('the keys of the identity provider can be fetched again');
      failure = undefined;
    } catch (error) {
      if (failure === undefined) log?.error({ err: error }, 'the keys of the identity provider cannot be fetched');
      failure = error;
      triedMs = now();
    }
  };
  /** Never rejects: `failure` tells. Whoever comes meanwhile waits for the same answer. */
  const fetched = (): Promise<void> => {
    if (pending !== undefined) return pending;
    if (now() - triedMs < (failure === undefined ? COOL_DOWN_MS : RETRY_PAUSE_MS)) return Promise.resolve();
    pending = load().finally(() => (pending = undefined));
    return pending;
  };
  const unavailable = () => new KeysUnavailable('no signing keys', { cause: failure });

  return async (header, token) => {
    const ageMs = known === undefined ? Infinity : now() - known.sinceMs;
    if (ageMs > FRESH_MS) {
      const refreshed = fetched();
      // Who is known to be away is not waited for, as long as we can do without.
      if (ageMs > KEPT_MS || (ageMs > BELIEVED_MS && failure === undefined)) await refreshed;
    }
    if (known === undefined || now() - known.sinceMs > KEPT_MS) throw unavailable();
    try {
      return await known.find(header, token);
    } catch (error) {
      if (!(error instanceof errors.JWKSNoMatchingKey)) throw error;
      await fetched();
      if (failure !== undefined) throw unavailable();
      return known.find(header, token);
    }
  };
}

async function fetchKeys(url: URL): Promise<JSONWebKeySet> {
  const signal = AbortSignal.timeout(FETCH_LIMIT_MS);
  const response = await fetch(url, { redirect: 'error', signal, headers: { accept: 'application/json' } });
  const text = await textOf(response); // also of an error: a body that is left unread holds its connection
  if (response.status !== 200) throw new Error(`the key set was answered ${response.status}`);
  const { keys } = keySet.parse(JSON.parse(text));
  const usable = keys.filter(isPublicKey);
  if (usable.length === 0) throw new Error('the key set holds no key that can be used');
  return { keys: usable };
}

/** @throws when it is longer than any set of keys; what is left of it is not read */
async function textOf({ body }: Response): Promise<string> {
  const chunks: Uint8Array[] = [];
  let length = 0;
  for await (const chunk of (body ?? []) as AsyncIterable<Uint8Array>) {
    length += chunk.length;
    if (length > LONGEST_SET) throw new Error(`the key set is longer than ${LONGEST_SET} bytes`);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString('utf8');
}

/** A provider may list keys of kinds that we do not know, besides those that we do. Shared secrets are none for us. */
function isPublicKey(jwk: JWK): jwk is JWK {
  try {
    return createPublicKey({ key: jwk as JsonWebKey, format: 'jwk' }).type === 'public';
  } catch {
    return false; // not ours to use; a set of nothing else is an error
  }
}
