import { randomUUID } from 'node:crypto';
import { chmod, link, mkdir, readFile, unlink, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';

/**
 * A secret that is kept in a file, made at the first call and readable by its owner alone. Repeat-safe, also in several
 * processes at once: all get the same one.
 */
export async function keptSecret(file: string, make: () => Promise<string>): Promise<string> {
  const known = await findSecret(file);
  if (known !== undefined) return known;

  const folder = dirname(file);
  await mkdir(folder, { recursive: true, mode: 0o700 });
  const draft = join(folder, `${randomUUID()}.draft`);
  await writeFile(draft, await make(), { mode: 0o600, flag: 'wx' });
  try {
    // Not a rename: a link fails where another process was faster, and then its whole file is there.
    await link(draft, file);
  } catch (error) {
    if (!hasCode(error, 'EEXIST')) throw error;
  } finally {
    await unlink(draft);
  }
  return keptSecret(file, make);
}

/** A secret that may have been kept there. */
export async function findSecret(file: string): Promise<string | undefined> {
  try {
    const secret = await readFile(file, 'utf8');
    await chmod(file, 0o600);
    return secret;
  } catch (error) {
    if (hasCode(error, 'ENOENT')) return undefined;
    throw new Error(`${file} cannot be read; remove it and a new one is made`, { cause: error });
  }
}

const hasCode = (error: unknown, code: string): boolean =>
  error instanceof Error && 'code' in error && error.code === code;
