import { Counter, Gauge, type Registry } from 'prom-client';

import type { RelayMetrics } from '../events/relay.ts';
import type { OutboxLag } from '../events/relay-tables.ts';
import type { Logger } from '../infra/log.ts';
import { readInTime } from './read-in-time.ts';

/**
 * The metrics of the relays of one process. How much waits is read from the outboxes whenever somebody asks, so that it
 * is true also while the relay itself stands still; it is NaN while a database does not answer.
 *
 * @param lags one for each service whose outbox this process relays
 * @returns what a relay tells, by service
 */
export function relayMetrics(
  registry: Registry,
  lags: Readonly<Record<string, () => Promise<OutboxLag>>>,
  log: Logger,
): (service: string) => RelayMetrics {
  const registers = [registry];
  const labelNames = ['service'] as const;
  const published = new Counter({
    ...{ name: 'outbox_published_total', registers, labelNames },
    help: 'Events that the bus has stored and that are marked as published.',
  });
  const fenced = new Counter({
    ...{ name: 'outbox_fenced_total', registers, labelNames },
    help: 'Events that were published by a relay that had lost its lease: they come twice.',
  });
  const refused = new Counter({
    ...{ name: 'outbox_refused_total', registers, labelNames },
    help: 'Times that the bus refused an event: its aggregate waits and is tried again.',
  });
  const failures = new Counter({
    ...{ name: 'outbox_relay_failures_total', registers, labelNames },
    help: 'Times that the database or the bus did not answer.',
  });
  const unpublished: Gauge = new Gauge({
    ...{ name: 'outbox_unpublished', registers, labelNames, collect: () => measure() },
    help: 'Events in the outbox that are not marked as published.',
  });
  const lagSeconds: Gauge = new Gauge({
    ...{ name: 'outbox_lag_seconds', registers, labelNames, collect: () => measure() },
    help: 'Age of the oldest event that is not marked as published, 0 when there is none.',
  });
  let measuring: Promise<void> | undefined;
  const measure = (): Promise<void> => (measuring ??= measureAll().finally(() => (measuring = undefined)));
  const measureAll = async (): Promise<void> => {
    await Promise.all(
      Object.entries(lags).map(async ([service, read]) => {
        const lag = await readInTime(read).catch((error: unknown) => {
          log.warn({ service, err: error }, 'the outbox could not be measured');
          return { unpublished: NaN, lagSeconds: NaN };
        });
        unpublished.set({ service }, lag.unpublished);
        lagSeconds.set({ service }, lag.lagSeconds);
      }),
    );
  };
  for (const service of Object.keys(lags)) {
    for (const counter of [published, fenced, refused, failures]) counter.inc({ service }, 0); // there from the start
  }
  return (service) => ({
    batch(outcome) {
      published.inc({ service }, outcome.published);
      fenced.inc({ service }, outcome.fenced);
      refused.inc({ service }, outcome.refused.size);
    },
    failed: () => failures.inc({ service }),
  });
}
