import { SpanKind } from '@opentelemetry/api';

import type { Logger } from '../infra/log.ts';
import { contextOf, logFields, pastSpans } from '../infra/trace-context.ts';
import type { StoredEvent } from './stored-event.ts';

/** What was done to events, and for whom: `published` by a relay, `applied` to a view. */
export type EventWork = Readonly<{
  verb: 'publish' | 'apply';
  /** The service or the view. */
  by: string;
  /** Milliseconds since 1970. */
  startedAt: number;
}>;

const KINDS = { publish: SpanKind.PRODUCER, apply: SpanKind.CONSUMER } as const;
const SAID = { publish: 'event published', apply: 'event applied' } as const;

/**
 * Tells of work that was done to events: to each event's own trace, and in the debug log, where the request id of a caller
 * is found again.
 */
export function traceEvents(events: readonly StoredEvent[], { verb, by, startedAt }: EventWork, log?: Logger): void {
  pastSpans(events, startedAt, ({ id, type, envelope }) => ({
    name: `${verb} ${type}`,
    carried: envelope,
    kind: KINDS[verb],
    attributes: { 'messaging.message.id': id, [verb === 'apply' ? 'commerce.view' : 'commerce.service']: by },
  }));
  if (log?.isLevelEnabled('debug') !== true) return;
  for (const { id, type, envelope } of events) {
    log.debug({ ...logFields(contextOf(envelope)), by, eventId: id, type }, SAID[verb]);
  }
}
