import { type FileHandle, open } from 'node:fs/promises';
import { resolve } from 'node:path';

import { z } from 'zod';

import { EVENT_SOURCES, sourceUri } from '../events/catalogue.ts';
import type { StoredEvent } from '../events/stored-event.ts';
import { NoHistory, type Stream } from './history-stream.ts';
import type { View } from './view.ts';

/** Read at once, bytes: some hundred events. A longer line is read whole. */
const CHUNK = 512 * 1_024;
const NEW_LINE = 10;

/**
 * The events of a file of `npm run events:export`. Places are bytes: the file must stay as it is until the rebuild ends.
 * Reading throws NoHistory where it is no such file.
 */
export function fileStream(path: string, { takes }: View): Stream {
  const wanted = new Set<string>(takes);
  return {
    name: resolve(path),
    end: () => opened(path, async (file) => BigInt((await file.stat()).size)),
    read: (after, end) =>
      opened(path, async (file) => {
        const { lines, upTo } = await readLines(file, path, Number(after), Number(end));
        const events = lines.map((line) => storedIn(line, path)).filter(({ type }) => wanted.has(type));
        return { events, upTo: BigInt(upTo) };
      }),
  };
}

async function opened<T>(path: string, work: (file: FileHandle) => Promise<T>): Promise<T> {
  let file: FileHandle;
  try {
    file = await open(path, 'r');
  } catch (error) {
    throw new NoHistory(`${path} cannot be read: ${(error as Error).message}`, { cause: error });
  }
  try {
    return await work(file);
  } finally {
    await file.close();
  }
}

/** Whole lines from a place on. */
async function readLines(file: FileHandle, path: string, after: number, end: number) {
  for (let size = CHUNK; ; size *= 2) {
    const length = Math.min(size, end - after);
    const chunk = Buffer.alloc(length);
    const { bytesRead } = await file.read(chunk, 0, length, after);
    const last = chunk.subarray(0, bytesRead).lastIndexOf(NEW_LINE);
    if (last >= 0) return { lines: chunk.toString('utf8', 0, last).split('\n'), upTo: after + last + 1 };
    if (bytesRead < size) {
      throw new NoHistory(`${path} ends within a line: go on with that export by --resume, or export it again`);
    }
  }
}

const exportedLine = z.object({ event: z.looseObject({}) });
const told = z.string().catch('');
const envelopeParts = z.object({
  ...{ id: told, type: told, source: told, subject: told, aggregateType: told },
  aggregateVersion: z.number().catch(0),
});

/** What an envelope lacks is found out when the event is read, as for every other event. */
function storedIn(line: string, path: string): StoredEvent {
  const { event: envelope } = parsedLine(line, path);
  const { subject, source: uri, ...parts } = envelopeParts.parse(envelope);
  const source = EVENT_SOURCES.find((name) => sourceUri(name) === uri) ?? uri;
  return { ...parts, source, aggregateId: subject, envelope };
}

function parsedLine(line: string, path: string): z.output<typeof exportedLine> {
  try {
    return exportedLine.parse(JSON.parse(line));
  } catch (error) {
    throw new NoHistory(`${path} is no export of events: make one by npm run events:export`, { cause: error });
  }
}
