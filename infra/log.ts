import { type Logger, pino } from 'pino';

import type { Config } from './config.ts';

export type { Logger };

/** Never written to a log, wherever it appears in a logged object. */
const REDACTED = ['authorization', 'token', 'password', 'email'].flatMap((key) => [key, `*.${key}`, `*.*.${key}`]);

/** One logger per process: JSON lines on standard output, secrets and personal data replaced. */
export const openLog = ({ logLevel }: Pick<Config, 'logLevel'>, name: string): Logger =>
  pino({ name, level: logLevel, redact: { paths: REDACTED, censor: '[redacted]' } });
