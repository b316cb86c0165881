import { cpus } from 'node:os';

import type { BusResult } from './bus.ts';
import { bars, percentileOf, type Value } from './numbers.ts';

/** The numbers as bars, one block for each thing that is measured, so that the two buses stand side by side. */
export function busReport(results: readonly BusResult[]): string {
  const [{ events } = { events: 0 }] = results;
  const wrong = results.filter((result) => result.wrong > 0);
  const rates = (
    [
      ['outbox → bus: a relay, nobody consuming', 'relayed'],
      ['bus → consumer: one consumer, nothing coming in', 'consumed'],
      ['written, relayed and consumed, all at once', 'through'],
    ] as const
  ).map(([title, key]) =>
    bars(
      `${title} (events/s)`,
      valuesOf(results, (result) => result[key]),
    ),
  );
  const latencies = [50, 99].map((percentile) =>
    bars(
      `commit → consumer when idle, p${percentile} (ms)`,
      valuesOf(results, (result) => percentileOf(result.latenciesMs, percentile)),
    ),
  );
  return [
    `${events} events through each bus, ${machine()}`,
    ...rates,
    ...latencies,
    wrong.length === 0
      ? 'Every event arrived, in the order of its subject.'
      : wrong.map((result) => `${result.carrier}: ${result.wrong} events are missing or out of order!`).join('\n'),
  ].join('\n\n');
}

const valuesOf = (results: readonly BusResult[], valueOf: (result: BusResult) => number): Value[] =>
  results.map((result) => [result.carrier, valueOf(result)]);

/** What the numbers were taken on. */
export const machine = (): string =>
  `${cpus().length} × ${cpus()[0]?.model.trim() ?? 'processor'}, Node ${process.versions.node}`;
