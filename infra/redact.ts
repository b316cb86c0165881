import { sqlStateOf } from './database-outage.ts';

const REDACTED = '[redacted]';

/** Keys whose values are never written to a log, as far down as objects are logged. */
const SECRET_KEYS = [
  ...['authorization', 'cookie', '"set-cookie"', '"idempotency-key"', 'idempotencyKey', 'headers', 'body', 'rawBody'],
  ...['token', 'cardToken', 'password', 'secret', 'apiKey', 'connectionString', 'email', 'phone', 'phoneNumber'],
  ...['fullName', 'full_name', 'username', 'detail', 'parameters', 'query'],
];
const at = (prefix: string) => (key: string) =>
  key.startsWith('"') ? `${prefix}[${key}]` : `${prefix && `${prefix}.`}${key}`;

/** For pino: the keys at the top of a logged object and down to three levels below it. */
export const redaction = {
  paths: ['', '*', '*.*', '*.*.*'].flatMap((prefix) => SECRET_KEYS.map(at(prefix))),
  censor: REDACTED,
};

const PATTERNS: readonly (readonly [RegExp, string | ((found: string) => string)])[] = [
  [/([a-z][a-z0-9+.-]{1,20}:\/\/)[^\s/@"'\\]+@/gi, `$1${REDACTED}@`],
  [/[\w.+-]+@[\w-]+(?:\.[\w-]+)+/g, REDACTED],
  [/\b(Bearer|Basic)\s+[\w.~+/=-]+/gi, `$1 ${REDACTED}`],
  [/\beyJ[\w-]+\.[\w-]+\.[\w-]*/g, REDACTED],
  [/\b(?:tok|pm|sk|rk|whsec)_[\w+/=-]+/g, REDACTED],
  // A telephone number says so by its plus or its groups: long ids and clocks do not.
  [/\+\d(?:[ ().-]?\d){7,14}/g, REDACTED],
  [/(?<![\w-])0\d{1,3}[ -]\d{3,4}[ -]\d{4}(?![\w-])/g, REDACTED],
  // Of a JSON number (`"time":1764…`) nothing may be replaced: the line would be JSON no more.
  [/(?<![\w.:-])[2-6]\d(?:[ -]?\d){11,17}(?![\w-])/g, (found) => (isCardNumber(found) ? REDACTED : found)],
];

/**
 * Text without e-mail addresses, telephone and card numbers, tokens and the credentials of URLs. What keys tell is
 * redacted by key; this is for what gets into messages.
 */
export const scrubbed = (text: string): string =>
  PATTERNS.reduce((rest, [pattern, by]) => rest.replace(pattern, by as string), text);

/** Whether the digits of a text are as many as a card has, and add up as a card's do (Luhn). */
export function isCardNumber(text: string): boolean {
  const digits = text.replaceAll(/[ -]/g, '');
  if (!/^\d{13,19}$/.test(digits)) return false;
  const sum = [...digits].reverse().reduce((total, digit, index) => {
    const doubled = Number(digit) * (index % 2 === 0 ? 1 : 2);
    return total + (doubled > 9 ? doubled - 9 : doubled);
  }, 0);
  return sum % 10 === 0;
}

/** Properties of errors that say where something went wrong, and never with which values. */
const TELLING = [
  ...['code', 'errno', 'syscall', 'address', 'port', 'severity', 'schema', 'table', 'column', 'constraint', 'routine'],
  ...['status', 'statusCode', 'type', 'activityType', 'nonRetryable', 'retryState', 'workflowId'],
];
const LONGEST_CHAIN = 6;
const MOST_FRAMES = 20;

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
  const text = error.name.startsWith('Prisma') ? (error.message.trim().split('\n').at(-1) ?? '') : error.message;
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
