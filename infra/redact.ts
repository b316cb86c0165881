import { isCardNumber } from '../domain/card-number.ts';
import { sqlStateOf } from './database-outage.ts';

const REDACTED = '[redacted]';

/** Keys whose values are never written to a log, in small letters and without what stands between words. */
const SECRET_KEYS = new Set([
  ...['authorization', 'cookie', 'setcookie', 'idempotencykey', 'headers', 'body', 'rawbody', 'token', 'cardtoken'],
  ...['password', 'secret', 'apikey', 'connectionstring', 'email', 'phone', 'phonenumber', 'fullname', 'username'],
  ...['detail', 'parameters', 'query'],
]);
const DEEPEST = 6;

/**
 * What is logged, without the values of secret and personal keys. Errors within are shown as `errorForLog` does; what is no
 * plain object (a response, a date) is left to its serializer.
 */
export function withoutSecrets(logged: Record<string, unknown>): Record<string, unknown> {
  return copyOf(logged, 0) as Record<string, unknown>;
}

function copyOf(value: unknown, depth: number): unknown {
  if (typeof value !== 'object' || value === null) return value;
  if (value instanceof Error) return errorForLog(value);
  const isList = Array.isArray(value);
  if (!isList && !isPlain(value)) return value;
  if (depth === DEEPEST) return REDACTED;
  if (isList) return value.map((one) => (isLong(one) ? String(one) : copyOf(one, depth + 1)));
  return Object.fromEntries(
    Object.entries(value).map(([key, one]) => [key, isSecret(key) ? REDACTED : copyOf(one, depth + 1)]),
  );
}

/** In a list no colon tells a number from the number of a card: as text it may be replaced, and the line stays JSON. */
const isLong = (value: unknown): value is number => typeof value === 'number' && value >= 1e12;

const isPlain = (value: object): boolean => {
  const prototype: unknown = Object.getPrototypeOf(value);
  return prototype === Object.prototype || prototype === null;
};

const isSecret = (key: string): boolean => SECRET_KEYS.has(key.replaceAll(/[-_]/g, '').toLowerCase());

/** Each takes a time that grows with the text alone: no repetition is without a limit before something that may be missing. */
type Pattern = readonly [RegExp, string | ((found: string) => string)];
/** They take most of the time, and most lines have nothing of the kind. */
const WITH_AT: readonly Pattern[] = [
  [/([a-z][a-z0-9+.-]{1,20}:\/\/)[^\s/@"'\\]{1,300}@/gi, `$1${REDACTED}@`],
  [/[\w.+-]{1,64}@[\w-]{1,63}(?:\.[\w-]{1,63}){1,8}/g, REDACTED],
];
const PATTERNS: readonly Pattern[] = [
  [/\b(Bearer|Basic)\s{1,5}[\w.~+/=-]+/gi, `$1 ${REDACTED}`],
  [/\beyJ[\w-]{5,}(?:\.[\w-]*){0,2}/g, REDACTED],
  [/\b(?:tok|pm|sk|rk|whsec)_[\w+/=-]+/g, REDACTED],
  // A telephone number says so by its plus or its groups: long ids and clocks do not.
  [/\+\d(?:[ ().-]?\d){7,14}/g, REDACTED],
  [/(?<![\w-])0\d{1,3}[ -]\d{3,4}[ -]\d{4}(?![\w-])/g, REDACTED],
  // Of a JSON number (`"time":1764…`) nothing may be replaced: the line would be JSON no more.
  [/(?<![\w.:-])\d(?:[ -]?\d){12,50}(?![\w-])/g, (found) => withoutCard(found)],
];

/** As a card is printed: no more groups than these, of which the first begins as those of cards do. */
const MOST_GROUPS = 5;

/** What stands beside a card is often a number as well: a day before it, the month of its end or its code behind it. */
function withoutCard(digits: string): string {
  const parts = digits.split(/([ -])/);
  const isCard = (text: string): boolean => /^[2-6]/.test(text) && isCardNumber(text);
  if (isCard(digits)) return REDACTED;
  for (let from = 0; from < parts.length; from += 2) {
    for (let to = from + 1; to <= parts.length && to < from + 2 * MOST_GROUPS; to += 2) {
      if (!isCard(parts.slice(from, to).join(''))) continue;
      const rest = parts.slice(to).join('');
      return parts.slice(0, from).join('') + REDACTED + withoutCard(rest);
    }
  }
  return digits;
}

/**
 * Text without e-mail addresses, telephone and card numbers, tokens and the credentials of URLs. What keys tell is
 * redacted by key; this is for what gets into messages.
 */
export const scrubbed = (text: string): string =>
  replaced(text.includes('@') ? replaced(text, WITH_AT) : text, PATTERNS);

const replaced = (text: string, patterns: readonly Pattern[]): string =>
  patterns.reduce((rest, [pattern, by]) => rest.replace(pattern, by as string), text);

const ESCAPE = /(\\(?:u[\da-f]{4}|.))/i;

/**
 * The same for a line of JSON. An escape is no part of a word: the `n` of a line's end must neither be taken with the
 * address behind it, which would leave a backslash that is no JSON, nor hide a token.
 */
export const scrubbedLine = (line: string): string =>
  line.includes('\\')
    ? line
        .split(ESCAPE)
        .map((part, at) => (at % 2 === 0 ? scrubbed(part) : part))
        .join('')
    : scrubbed(line);

/** Properties of errors that say where something went wrong, and never with which values. */
const TELLING = [
  ...['code', 'errno', 'syscall', 'address', 'port', 'severity', 'schema', 'table', 'column', 'constraint', 'routine'],
  ...['status', 'statusCode', 'type', 'activityType', 'nonRetryable', 'retryState', 'workflowId'],
];
const LONGEST_CHAIN = 6;
const MOST_FRAMES = 20;
const LONGEST_MESSAGE = 2_000;

/**
 * An error for the log, by an allow-list: PostgreSQL's errors carry rows in `detail`, Prisma's the arguments of a query,
 * Temporal's failures what workflows were called with.
 */
export function errorForLog(error: unknown, depth = 0): unknown {
  if (!(error instanceof Error)) return typeof error === 'string' ? scrubbed(error) : { type: typeof error };
  const told = TELLING.flatMap((key): [string, unknown][] => {
    const value = (error as unknown as Record<string, unknown>)[key];
    if (typeof value === 'string') return [[key === 'type' ? 'failureType' : key, scrubbed(value)]];
    return typeof value === 'number' || typeof value === 'boolean' ? [[key, value]] : [];
  });
  const sqlState = sqlStateOf(error);
  const deeper = depth < LONGEST_CHAIN;
  return {
    type: error.constructor.name,
    message: messageOf(error),
    ...Object.fromEntries(told),
    ...(sqlState !== undefined && { sqlState }),
    stack: framesOf(error),
    ...(deeper && error.cause !== undefined && { cause: errorForLog(error.cause, depth + 1) }),
    ...(deeper &&
      error instanceof AggregateError && {
        errors: error.errors.slice(0, 5).map((one) => errorForLog(one, depth + 1)),
      }),
  };
}

/** Prisma shows the whole query above what is wrong with it; PostgreSQL quotes values that it does not understand. */
function messageOf(error: Error): string {
  const isQuery = error.name.startsWith('Prisma') || sqlStateOf(error) !== undefined;
  const whole = error.name.startsWith('Prisma') ? (error.message.trim().split('\n').at(-1) ?? '') : error.message;
  const text = whole.slice(0, LONGEST_MESSAGE);
  const withoutValues = isQuery
    ? text.replaceAll(/=\([^)]*\)/g, `=(${REDACTED})`).replaceAll(/: \\?"(?:[^"\\]|\\.)*\\?"/g, `: ${REDACTED}`)
    : text;
  return scrubbed(withoutValues);
}

const framesOf = ({ stack = '' }: Error): string =>
  stack
    .split('\n')
    .filter((line) => /^\s+at /.test(line))
    .slice(0, MOST_FRAMES)
    .join('\n');
