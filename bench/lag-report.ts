import { VIEW_NAMES } from '../projections/view.ts';
import { type LagFlow, type LagResult, rateOf } from './lag.ts';
import { bars } from './numbers.ts';
import { machine } from './report.ts';

/** The numbers as bars: how old what the views show was when it was shown, and how fast a full log is drained. */
export function lagReport({ steady, highest, drain, wrong }: LagResult): string {
  return [
    `the whole system on ${machine()}`,
    ...[steady, highest].flatMap(flowReport),
    ...(drain === null
      ? []
      : [
          bars(
            `the projection alone, ${drain.events} events of ${drain.orders} orders of one day: ` +
              `${Math.round(drain.perSecond)} events/s through all five views; each was at the end after (s)`,
            VIEW_NAMES.map((name) => [name, drain.viewSeconds[name]]),
          ),
        ]),
    wrong.length === 0 ? 'Every event is in every view that takes it, once, and the books agree.' : wrong.join('\n'),
  ].join('\n\n');
}

function flowReport(flow: LagFlow): string[] {
  const { name, orders, events, seconds, bus, views, all } = flow;
  const rates = `${rateOf(flow).toFixed(1)} orders/s and ${Math.round(events / seconds)} events/s`;
  const rows = [
    ['bus', bus] as const,
    ...VIEW_NAMES.map((view) => [view, views[view]] as const),
    ['all views', all] as const,
  ];
  const block = (percentile: 'p50' | 'p99') =>
    bars(
      `event → view, ${percentile} (ms)`,
      rows.map(([row, spread]) => [row, spread[percentile]]),
    );
  return [
    `${name}: ${orders} orders, ${rates} for ${seconds.toFixed(0)} s; longest lag ${Math.round(all.max)} ms`,
    block('p50'),
    block('p99'),
  ];
}
