import { once } from 'node:events';
import { Agent, createServer, request } from 'node:http';
import type { AddressInfo } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';

const LOOK_EVERY_MS = 100;

/** A balancer in front of several API processes that repeats nothing: a request that is lost behind it stays lost. */
export type Balancer = Readonly<{
  url: string;
  /** Asks it `/readyz` from now on, and sends it requests while that is answered 200. */
  add: (backendUrl: string) => void;
  /** True while requests are sent to it. */
  uses: (backendUrl: string) => boolean;
  close: () => Promise<void>;
}>;

/** Sends requests in turn, on connections that it keeps. Without a backend it answers 502. */
export async function startBalancer(): Promise<Balancer> {
  const ready = new Map<string, boolean>();
  const agent = new Agent({ keepAlive: true });
  let turn = 0;
  let closing = false;

  const server = createServer((req, res) => {
    const backends = [...ready].filter(([, isReady]) => isReady).map(([url]) => url);
    const backend = backends[(turn += 1) % Math.max(backends.length, 1)];
    const fail = (why: string): void => void res.writeHead(502).end(JSON.stringify({ code: 'LOST', why }));
    if (backend === undefined) return fail('no process is ready');
    const { method, headers } = req;
    const onward = request(new URL(req.url ?? '/', backend), { method, headers, agent }, (answer) => {
      res.writeHead(answer.statusCode ?? 502, answer.headers);
      answer.pipe(res);
    });
    onward.on('error', (error) => (res.headersSent ? res.destroy() : fail(`${backend}: ${error.message}`)));
    req.pipe(onward);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');

  const look = async (backend: string): Promise<void> => {
    while (!closing) {
      const isReady = await fetch(new URL('/readyz', backend)).then(
        async (answer) => (await answer.body?.cancel(), answer.ok),
        () => false,
      );
      ready.set(backend, isReady);
      await sleep(LOOK_EVERY_MS);
    }
  };
  const looking: Promise<void>[] = [];

  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    add: (backend) => void looking.push(look(backend)),
    uses: (backend) => ready.get(backend) === true,
    async close() {
      closing = true;
      await Promise.all(looking);
      server.closeAllConnections();
      server.close();
      await once(server, 'close');
      agent.destroy();
    },
  };
}
