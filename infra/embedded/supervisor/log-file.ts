import { closeSync, existsSync, mkdirSync, openSync, readSync, renameSync, statSync, writeSync } from 'node:fs';
import { dirname } from 'node:path';

const ROTATE_BYTES = 10_000_000;
const POLL_MS = 300;
const TAIL_LINES = 6;
const TAIL_BYTES = 16_384;
const WARN = 40;

/** A process's log, which the process writes itself: it goes on when the supervisor is killed. */
export type LogFile = Readonly<{
  path: string;
  /** For `stdio` of a child. */
  fd: number;
  /** Adds a line of the supervisor's own. */
  write: (line: string) => void;
  /** The last lines written since the file was opened, readable. */
  tail: () => string[];
  /** Stops following and closes our descriptor; the child keeps its own. */
  close: () => void;
}>;

/**
 * Opens the log of one start of a process for appending; a file beyond 10 MB is kept once as `<path>.1`.
 *
 * @param warn is called with every warning or error that is written, in one readable line
 */
export function openLogFile(path: string, warn?: (line: string) => void): LogFile {
  mkdirSync(dirname(path), { recursive: true });
  if (existsSync(path) && statSync(path).size > ROTATE_BYTES) renameSync(path, `${path}.1`);
  const fd = openSync(path, 'a+', 0o600);
  const start = statSync(path).size;
  const follow = warn === undefined ? undefined : follower(fd, start, warn);
  const timer = follow && setInterval(follow, POLL_MS).unref();
  return {
    path,
    fd,
    write: (line) => writeSync(fd, `${line}\n`),
    tail: () => {
      const size = statSync(path).size;
      const text = read(fd, Math.max(start, size - TAIL_BYTES), size);
      const lines = text.split('\n').flatMap((line) => (line.trim() === '' ? [] : [readable(line).text]));
      return lines.slice(-TAIL_LINES);
    },
    close: () => {
      clearInterval(timer);
      follow?.();
      closeSync(fd);
    },
  };
}

/** One line of a log for a person: pino's JSON as level and message, anything else as it is. */
export function readable(line: string): Readonly<{ text: string; warning: boolean }> {
  const entry = pinoEntry(line);
  if (entry === undefined) return { text: line, warning: false };
  const { level, msg, err } = entry;
  const cause = err?.message === undefined || err.message === msg ? '' : `: ${err.message}`;
  return { text: `${LEVELS[level] ?? level} ${msg ?? ''}${cause}`.trim(), warning: level >= WARN };
}

const LEVELS: Readonly<Record<number, string>> = { 20: 'debug', 30: 'info', 40: 'warning', 50: 'error', 60: 'fatal' };

type PinoEntry = Readonly<{ level: number; msg?: string; err?: Readonly<{ message?: string }> }>;

function pinoEntry(line: string): PinoEntry | undefined {
  if (!line.startsWith('{')) return undefined;
  try {
    const entry = JSON.parse(line) as Partial<PinoEntry>;
    return typeof entry.level === 'number' ? (entry as PinoEntry) : undefined;
  } catch {
    return undefined; // cut off, or another program's braces: shown as it is
  }
}

/** @returns a function that passes on the warnings written since its last call */
function follower(fd: number, start: number, warn: (line: string) => void): () => void {
  let offset = start;
  return () => {
    const text = read(fd, offset, offset + ROTATE_BYTES);
    const whole = text.slice(0, text.lastIndexOf('\n') + 1); // a half line waits for its other half
    offset += Buffer.byteLength(whole);
    for (const line of whole.split('\n')) {
      const { text: shown, warning } = readable(line);
      if (warning) warn(shown);
    }
  };
}

function read(fd: number, from: number, to: number): string {
  const buffer = Buffer.alloc(Math.min(Math.max(0, to - from), 1_000_000));
  return buffer.toString('utf8', 0, readSync(fd, buffer, 0, buffer.length, from));
}
