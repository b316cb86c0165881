import { once } from 'node:events';
import { createWriteStream, existsSync } from 'node:fs';
import { open, truncate } from 'node:fs/promises';
import type { Writable } from 'node:stream';

import { z } from 'zod';

/** Thrown for a file that cannot be begun or gone on with. Its message says what to do. */
export class CannotWrite extends Error {}

export type Output = Readonly<{
  /** Resolves when more may be written: who reads slowly slows us down, and nothing piles up. */
  write: (text: string) => Promise<void>;
  /** Resolves when everything is written out. */
  end: () => Promise<void>;
}>;

export function toStream(stream: Writable): Output {
  let failure: Error | undefined;
  stream.once('error', (error) => (failure = error));
  const check = () => {
    if (failure !== undefined) throw new CannotWrite(`the output broke off: ${failure.message}`, { cause: failure });
  };
  return {
    async write(text) {
      check();
      // A stream that fails emits no drain, and its error ends the wait.
      if (!stream.write(text)) await once(stream, 'drain').catch(check);
      check();
    },
    async end() {
      check();
      if (stream === process.stdout) return;
      stream.end();
      await once(stream, 'close').catch(check);
      check();
    },
  };
}

/** @throws CannotWrite when the file exists: an export is not thrown away by a mistyped command */
export function toNewFile(path: string): Output {
  if (existsSync(path)) throw new CannotWrite(`${path} exists: choose another name, or go on with it by --resume`);
  return toStream(createWriteStream(path, { flags: 'wx' }));
}

/**
 * Goes on with an export that was broken off: what is after its last whole line is cut off.
 *
 * @returns the cursor of its last event; null where it holds none
 * @throws CannotWrite when it is no export of this service
 */
export async function toResumedFile(path: string, source: string): Promise<{ output: Output; after: string | null }> {
  if (!existsSync(path)) throw new CannotWrite(`${path} does not exist: leave --resume out`);
  const { line, size } = await lastWholeLine(path);
  const after = line === null ? null : cursorIn(line, source, path);
  await truncate(path, size);
  return { output: toStream(createWriteStream(path, { flags: 'a' })), after };
}

const exported = z.object({ cursor: z.string().regex(/^\d+$/), event: z.object({ source: z.string() }) });

function cursorIn(line: string, source: string, path: string): string {
  let value: unknown;
  try {
    value = JSON.parse(line);
  } catch {
    value = undefined; // the schema then refuses it
  }
  const parsed = exported.safeParse(value);
  if (parsed.success && parsed.data.event.source === source) return parsed.data.cursor;
  throw new CannotWrite(`${path} is no export of events of ${source}: it was left as it is`);
}

const CHUNK = 64 * 1_024; // bytes

/** Read from the end, because an export may be larger than memory. `size`: bytes up to the end of that line. */
async function lastWholeLine(path: string): Promise<{ line: string | null; size: number }> {
  const file = await open(path, 'r');
  try {
    let start = (await file.stat()).size;
    let tail = Buffer.alloc(0);
    for (;;) {
      const end = tail.lastIndexOf('\n');
      const before = end <= 0 ? -1 : tail.lastIndexOf('\n', end - 1);
      if (end >= 0 && (before >= 0 || start === 0)) {
        return { line: tail.subarray(before + 1, end).toString(), size: start + end + 1 };
      }
      if (start === 0) return { line: null, size: 0 };
      const length = Math.min(CHUNK, start);
      start -= length;
      const chunk = Buffer.alloc(length);
      await file.read(chunk, 0, length, start);
      tail = Buffer.concat([chunk, tail]);
    }
  } finally {
    await file.close();
  }
}
