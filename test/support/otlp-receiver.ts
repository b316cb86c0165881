import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { json } from 'node:stream/consumers';

/** A span as it was sent, with the name of the process that sent it. */
export type ReceivedSpan = Readonly<{
  process: string;
  name: string;
  traceId: string;
  spanId: string;
  parentSpanId: string;
  attributes: Readonly<Record<string, string>>;
}>;

export type OtlpReceiver = Readonly<{
  /** For OTEL_EXPORTER_OTLP_ENDPOINT. */
  url: string;
  spans: () => readonly ReceivedSpan[];
  /** Every body as it came. */
  raw: () => string;
  /** Repeat-safe. */
  close: () => Promise<void>;
}>;

type Attribute = Readonly<{ key: string; value: Readonly<{ stringValue?: string; intValue?: number | string }> }>;
type Export = Readonly<{
  resourceSpans?: readonly Readonly<{
    resource?: Readonly<{ attributes?: readonly Attribute[] }>;
    scopeSpans?: readonly Readonly<{
      spans?: readonly Readonly<{
        name: string;
        traceId: string;
        spanId: string;
        parentSpanId?: string;
        attributes?: readonly Attribute[];
      }>[];
    }>[];
  }>[];
}>;

/** A collector: takes spans by OTLP over HTTP, as JSON. */
export async function otlpReceiver(): Promise<OtlpReceiver> {
  const bodies: Export[] = [];
  const server = createServer((req, res) => {
    void json(req).then(
      (body) => {
        bodies.push(body as Export);
        res.setHeader('content-type', 'application/json').end('{}');
      },
      () => res.writeHead(400).end(),
    );
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  return {
    url: `http://127.0.0.1:${port}`,
    spans: () => bodies.flatMap(spansIn),
    raw: () => JSON.stringify(bodies),
    async close() {
      if (!server.listening) return;
      server.closeAllConnections();
      server.close();
      await once(server, 'close');
    },
  };
}

function spansIn({ resourceSpans = [] }: Export): ReceivedSpan[] {
  return resourceSpans.flatMap(({ resource, scopeSpans = [] }) =>
    scopeSpans.flatMap(({ spans = [] }) =>
      spans.map(({ name, traceId, spanId, parentSpanId = '', attributes }) => ({
        process: named(resource?.attributes)['commerce.process'] ?? '',
        ...{ name, traceId, spanId, parentSpanId, attributes: named(attributes) },
      })),
    ),
  );
}

const named = (attributes: readonly Attribute[] = []): Record<string, string> =>
  Object.fromEntries(attributes.map(({ key, value }) => [key, String(value.stringValue ?? value.intValue)]));
