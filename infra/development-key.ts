import { randomUUID } from 'node:crypto';
import { chmod, link, mkdir, readFile, unlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

import { exportJWK, generateKeyPair, type JWK } from 'jose';

/**
 * The private key that signs development tokens: `<dataDir>/jwt/key.json`, made at the first call and readable by its
 * owner alone. Repeat-safe, also in several processes at once: all get the same key.
 */
export async function developmentKey(dataDir: string): Promise<JWK> {
  const folder = join(dataDir, 'jwt');
  const file = join(folder, 'key.json');
  const known = await readKey(file);
  if (known !== undefined) return known;

  await mkdir(folder, { recursive: true, mode: 0o700 });
  const draft = join(folder, `${randomUUID()}.draft`);
  const { privateKey } = await generateKeyPair('ES256', { extractable: true });
  await writeFile(draft, JSON.stringify(await exportJWK(privateKey)), { mode: 0o600, flag: 'wx' });
  try {
    // Not a rename: a link fails where another process was faster, and then its whole file is there.
    await link(draft, file);
  } catch (error) {
    if (!hasCode(error, 'EEXIST')) throw error;
  } finally {
    await unlink(draft);
  }
  return developmentKey(dataDir);
}

async function readKey(file: string): Promise<JWK | undefined> {
  try {
    const key = JSON.parse(await readFile(file, 'utf8')) as JWK;
    await chmod(file, 0o600);
    return key;
  } catch (error) {
    if (hasCode(error, 'ENOENT')) return undefined;
    throw new Error(`${file} cannot be used as a signing key; remove it and a new one is made`, { cause: error });
  }
}

const hasCode = (error: unknown, code: string): boolean =>
  error instanceof Error && 'code' in error && error.code === code;
