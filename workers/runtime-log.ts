import {
  type Logger as TemporalLogger,
  type LogLevel,
  type LogMetadata,
  type RuntimeOptions,
} from '@temporalio/worker';
import { makeTelemetryFilterString } from '@temporalio/worker';

import type { Logger } from '../infra/log.ts';

/**
 * Temporal's own lines through the process's one logger, so that they are JSON and redacted too; those of the native
 * core included. The runtime traps no signal: the drain has an order of its own (infra/process.ts).
 */
export const runtimeOptions = (log: Logger): RuntimeOptions => ({
  shutdownSignals: [],
  logger: throughPino(log),
  telemetryOptions: {
    logging: { forward: {}, filter: makeTelemetryFilterString({ core: 'WARN', other: 'ERROR' }) },
  },
});

function throughPino(log: Logger): TemporalLogger {
  const at = (level: LogLevel) => (message: string, meta?: LogMetadata) => {
    // The SDK names its errors `error`; pino writes message and stack of what is called `err`.
    const { error, ...rest } = meta ?? {};
    const shown = ONE_SIDED.test(message) ? 'debug' : LEVELS[level];
    log[shown]({ ...loggable(rest), ...(error !== undefined && { err: error }) }, message);
  };
  return {
    log: (level, message, meta) => at(level)(message, meta),
    trace: at('TRACE'),
    debug: at('DEBUG'),
    info: at('INFO'),
    warn: at('WARN'),
    error: at('ERROR'),
  };
}

/** The SDK warns of it at every start; a worker of ours that runs steps runs no workflows, by design. */
const ONE_SIDED = /^No (workflows|activities) registered, not polling for /;

const LEVELS = { TRACE: 'trace', DEBUG: 'debug', INFO: 'info', WARN: 'warn', ERROR: 'error' } as const;

/**
 * Of a task that it could not begin the SDK shows everything, also what the step was called with, in base64 that no pattern
 * looks into.
 */
const WHOLE_TASKS: readonly string[] = ['task', 'taskEncoded'];

/** Time stamps come as bigint nanoseconds, which JSON cannot hold. */
const loggable = (meta: LogMetadata): LogMetadata =>
  Object.fromEntries(
    Object.entries(meta)
      .filter(([key]) => !WHOLE_TASKS.includes(key))
      .map(([key, value]: [string, unknown]) => [key, typeof value === 'bigint' ? String(value) : value]),
  );
