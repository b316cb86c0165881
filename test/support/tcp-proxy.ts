import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { connect, createServer, type Socket } from 'node:net';

/** A wire between two parts that a test can cut at an exact moment. */
export type TcpProxy = Readonly<{
  port: number;
  /**
   * Lets the next message that contains `marker` through, and nothing that comes back after it: the server has acted,
   * the client does not hear of it. Resolves when it has happened.
   */
  muteAfter: (marker: string) => Promise<void>;
  close: () => Promise<void>;
}>;

/** Listens on a free port of 127.0.0.1 and forwards to another port there. */
export async function tcpProxy(targetPort: number): Promise<TcpProxy> {
  const sockets = new Set<Socket>();
  let armed: { marker: string; done: () => void } | undefined;

  const server = createServer((client) => {
    const upstream = connect(targetPort, '127.0.0.1');
    let muted = false;
    for (const socket of [client, upstream]) {
      sockets.add(socket);
      // A cut connection is what this proxy is for; the parts at its ends report what it means to them.
      socket.on('error', () => undefined);
      socket.on('close', () => sockets.delete(socket));
    }
    client.on('data', (chunk) => {
      if (armed !== undefined && chunk.includes(armed.marker)) {
        muted = true;
        armed.done();
        armed = undefined;
      }
      upstream.write(chunk);
    });
    upstream.on('data', (chunk) => {
      if (!muted) client.write(chunk);
    });
    client.on('close', () => upstream.destroy());
    upstream.on('close', () => client.destroy());
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');

  return {
    port: (server.address() as AddressInfo).port,
    muteAfter: (marker) => new Promise((done) => (armed = { marker, done })),
    async close() {
      for (const socket of sockets) socket.destroy();
      server.close();
      await once(server, 'close');
    },
  };
}
