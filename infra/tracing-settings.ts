import { z } from 'zod';

/** OpenTelemetry's own names; a part of the variables that `config.ts` reads. Its exporter and sampler know more of them. */
export const tracingVariables = {
  /** Spans are sent below it, to `/v1/traces`. None are recorded without it. */
  OTEL_EXPORTER_OTLP_ENDPOINT: z.url({ protocol: /^https?$/ }).optional(),
  OTEL_SERVICE_NAME: z.string().min(1).max(200).optional(),
  /** Often the collector's secret, so it is handed to our own processes alone. */
  OTEL_EXPORTER_OTLP_HEADERS: z.string().optional(),
} as const;

/** `tracesUrl`: absent where no spans are recorded. `serviceName`: absent where it is made of the process's name. */
export type TracingSettings = Readonly<{
  tracesUrl: string | undefined;
  serviceName: string | undefined;
  headers: string | undefined;
}>;

export const tracingSettings = (e: z.infer<z.ZodObject<typeof tracingVariables>>): TracingSettings => ({
  tracesUrl: e.OTEL_EXPORTER_OTLP_ENDPOINT && `${e.OTEL_EXPORTER_OTLP_ENDPOINT.replace(/\/+$/, '')}/v1/traces`,
  serviceName: e.OTEL_SERVICE_NAME,
  headers: e.OTEL_EXPORTER_OTLP_HEADERS,
});
