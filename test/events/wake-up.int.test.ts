import assert from 'node:assert/strict';
import { once } from 'node:events';
import { type AddressInfo, createServer, type Socket } from 'node:net';

import { Alarm, listen } from '../../events/wake-up.ts';

/** AuthenticationOk and ReadyForQuery of PostgreSQL's protocol. */
const WELCOME = Buffer.from([0x52, 0, 0, 0, 8, 0, 0, 0, 0, 0x5a, 0, 0, 0, 5, 0x49]);

describe('whoever listens for notifications', () => {
  it('can leave a server that stands still right after it was greeted', async () => {
    const sockets: Socket[] = [];
    const asked = new Alarm();
    const server = createServer((socket) => {
      sockets.push(socket);
      socket.on('error', () => undefined);
      socket.once('data', () => {
        socket.write(WELCOME);
        socket.once('data', () => asked.ring()); // and nothing more is ever said
      });
    });
    await once(server.listen(0, '127.0.0.1'), 'listening');
    try {
      const { port } = server.address() as AddressInfo;
      const listener = listen(`postgresql://a:b@127.0.0.1:${port}/c`, 'outbox', () => assert.fail('nobody woke it'));
      assert.ok(await asked.sleep(5_000), 'it has asked to be told');
      const left = listener.close().then(() => true);
      const tooLate = new Promise((resolve) => setTimeout(resolve, 5_000, false).unref());
      assert.equal(await Promise.race([left, tooLate]), true, 'it is still there');
    } finally {
      for (const socket of sockets) socket.destroy();
      server.close();
    }
  });
});
