import { join } from 'node:path';

import { exportJWK, generateKeyPair, type JWK } from 'jose';

import { keptSecret } from './kept-secret.ts';

/**
 * The private key that signs development tokens: `<dataDir>/jwt/key.json`, made at the first call and readable by its
 * owner alone. Repeat-safe, also in several processes at once: all get the same key.
 */
export async function developmentKey(dataDir: string): Promise<JWK> {
  const file = join(dataDir, 'jwt', 'key.json');
  const key = await keptSecret(file, newKey);
  try {
    return JSON.parse(key) as JWK;
  } catch (error) {
    throw new Error(`${file} cannot be used as a signing key; remove it and a new one is made`, { cause: error });
  }
}

async function newKey(): Promise<string> {
  const { privateKey } = await generateKeyPair('ES256', { extractable: true });
  return JSON.stringify(await exportJWK(privateKey));
}
