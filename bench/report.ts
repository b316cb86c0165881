import { cpus } from 'node:os';

import type { BusResult } from './bus.ts';

const BAR_WIDTH = 40;

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
    `${events} events through each bus, ${cpus().length} × ${cpus()[0]?.model.trim() ?? 'processor'}, Node ${process.versions.node}`,
    ...rates,
    ...latencies,
    wrong.length === 0
      ? 'Every event arrived, in the order of its subject.'
      : wrong.map((result) => `${result.carrier}: ${result.wrong} events are missing or out of order!`).join('\n'),
  ].join('\n\n');
}

type Value = readonly [string, number];

const valuesOf = (results: readonly BusResult[], valueOf: (result: BusResult) => number): Value[] =>
  results.map((result) => [result.carrier, valueOf(result)]);

function bars(title: string, values: readonly Value[]): string {
  const largest = Math.max(...values.map(([, value]) => value));
  const lines = values.map(([name, value]) => {
    const bar = '█'.repeat(Math.max(1, Math.round((BAR_WIDTH * value) / largest)));
    return `  ${name.padEnd(9)} ${bar.padEnd(BAR_WIDTH)} ${value < 100 ? value.toFixed(1) : Math.round(value)}`;
  });
  return [title, ...lines].join('\n');
}

/** Nearest rank, of sorted values. */
const percentileOf = (sorted: readonly number[], percentile: number): number =>
  sorted[Math.ceil((percentile / 100) * sorted.length) - 1] ?? 0;
