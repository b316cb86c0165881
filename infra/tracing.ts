import { setTimeout as sleep } from 'node:timers/promises';

import { setGlobalErrorHandler } from '@opentelemetry/core';
import { OTLPTraceExporter } from '@opentelemetry/exporter-trace-otlp-http';
import { Resource } from '@opentelemetry/resources';
import {
  AlwaysOffSampler,
  BatchSpanProcessor,
  NodeTracerProvider,
  ParentBasedSampler,
} from '@opentelemetry/sdk-trace-node';

import type { Config } from './config.ts';
import type { Logger } from './log.ts';

export type Tracing = Readonly<{ /** Sends what is left. */ close: () => Promise<void> }>;

/** A collector that is away is told of once in this time, milliseconds. */
const TOLD_EVERY_MS = 60_000;
/** A process that ends waits no longer for its collector, milliseconds. */
const CLOSE_LIMIT_MS = 3_000;

/**
 * Gives the process's work trace ids, which are handed on and logged in any case. Spans are recorded and sent where
 * OTEL_EXPORTER_OTLP_ENDPOINT says to; how many of them is up to OpenTelemetry's OTEL_TRACES_SAMPLER. Call it once.
 *
 * @param name of the process
 */
export function openTracing(
  { tracing: { tracesUrl, serviceName } }: Pick<Config, 'tracing'>,
  name: string,
  log: Logger,
): Tracing {
  const resource = new Resource({ 'service.name': serviceName ?? `commerce-saga-${name}`, 'commerce.process': name });
  const provider =
    tracesUrl === undefined
      ? new NodeTracerProvider({ sampler: new ParentBasedSampler({ root: new AlwaysOffSampler() }) })
      : new NodeTracerProvider({
          resource,
          spanProcessors: [new BatchSpanProcessor(new OTLPTraceExporter({ url: tracesUrl }))],
        });
  provider.register({ propagator: null }); // ours carries ids alone: trace-context.ts
  const tell = teller(log);
  setGlobalErrorHandler(tell);
  return {
    async close() {
      const sent = provider.shutdown().catch(tell);
      await Promise.race([sent, sleep(CLOSE_LIMIT_MS, undefined, { ref: false })]);
    },
  };
}

/** Work goes on without its spans. */
function teller(log: Logger): (error: unknown) => void {
  let nextAt = 0;
  return (error) => {
    if (performance.now() < nextAt) return;
    nextAt = performance.now() + TOLD_EVERY_MS;
    log.warn({ err: error }, 'spans of traces were not sent');
  };
}
