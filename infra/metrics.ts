import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';

import type { Registry } from 'prom-client';

import type { Logger } from './log.ts';

export type MetricsServer = Readonly<{ url: string; close: () => Promise<void> }>;

export type MetricsOptions = Readonly<{
  host: string;
  /** 0 takes any free port. */
  port: number;
  registry: Registry;
  /** False ends the process where somebody watches over it: it must be true while the process only waits for others. */
  healthy: () => boolean;
  log: Logger;
}>;

/**
 * Serves `/metrics` in the text format of Prometheus, and `/healthz`: 200 or 503.
 *
 * @throws the error of `listen` when the port is taken
 */
export async function serveMetrics({ host, port, registry, healthy, log }: MetricsOptions): Promise<MetricsServer> {
  const server = createServer((req, res) => {
    const answer = (status: number, body: string, type = 'text/plain; charset=utf-8'): void =>
      void res.writeHead(status, { 'content-type': type }).end(body);
    const pathname = req.url?.split('?', 1)[0]; // no URL is made of it: what a stranger sends may be none
    if (pathname === '/healthz') return healthy() ? answer(200, 'ok\n') : answer(503, 'it does not move any more\n');
    if (pathname !== '/metrics') return answer(404, 'there are /metrics and /healthz\n');
    registry.metrics().then(
      (text) => answer(200, text, registry.contentType),
      (error: unknown) => {
        log.error({ err: error }, 'metrics could not be collected');
        answer(500, 'metrics could not be collected\n');
      },
    );
  });
  server.listen(port, host);
  await once(server, 'listening');
  const { address, port: taken, family } = server.address() as AddressInfo;
  return {
    url: `http://${family === 'IPv6' ? `[${address}]` : address}:${taken}`,
    async close() {
      server.close();
      server.closeAllConnections();
      await once(server, 'close');
    },
  };
}
