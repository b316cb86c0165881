import { type DestinationStream, type Logger, pino } from 'pino';

import type { Config } from './config.ts';
import { scrubbedLine, withoutSecrets } from './redact.ts';
import { logFields } from './trace-context.ts';

export type { Logger };

/**
 * One logger per process: JSON lines on standard output, each with the ids of the request that it is about. Secrets and
 * personal data are replaced by key, errors shown by an allow-list, and what is left is searched as text.
 *
 * @param destination tests read the lines there
 */
export const openLog = (
  { logLevel }: Pick<Config, 'logLevel'>,
  name: string,
  destination?: DestinationStream,
): Logger =>
  pino(
    {
      name,
      level: logLevel,
      formatters: { log: withoutSecrets },
      serializers: { err: shownAlready },
      mixin: () => logFields(),
      hooks: { streamWrite: scrubbedLine },
    },
    destination ?? pino.destination(1),
  );

/** pino would take an error apart in its own way. */
const shownAlready = (error: unknown): unknown => error;
