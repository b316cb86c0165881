import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer } from 'node:http2';
import type { AddressInfo } from 'node:net';

import { Connection } from '@temporalio/client';
import { pino } from 'pino';

import { ensureSearchAttributes } from '../../infra/temporal.ts';
import { temporalServer } from '../support/servers.ts';

const WANTED = [
  { name: 'SomeStatus', type: 'KEYWORD' },
  { name: 'SomeTotal', type: 'INT' },
] as const;
const UNIMPLEMENTED = 12;
const PERMISSION_DENIED = 7;
const INTERNAL = 13;

describe('registering search attributes', () => {
  let lines: string[];
  const log = pino({ level: 'warn' }, { write: (line) => void lines.push(line) });

  beforeEach(() => {
    lines = [];
  });

  const register = async (address: string): Promise<boolean> => {
    const connection = Connection.lazy({ address });
    try {
      return await ensureSearchAttributes({ connection, namespace: 'default' }, WANTED, log);
    } finally {
      await connection.close();
    }
  };

  it('adds those that are missing, and nothing the second time', async () => {
    const { address } = await temporalServer();
    assert.equal(await register(address), true);
    assert.equal(await register(address), true);
    assert.deepEqual(lines, []);
  });

  for (const [how, status] of [
    ['denies', PERMISSION_DENIED],
    ['does not know', UNIMPLEMENTED],
  ] as const) {
    it(`goes on where the server ${how} the list, and names what to look at`, async () => {
      const server = await refusingServer(status);
      try {
        assert.equal(await register(server.address), false);
      } finally {
        await server.close();
      }
      assert.match(lines.join(''), /does not let us list its search attributes/);
      assert.match(lines.join(''), /make sure .* SomeStatus \(KEYWORD\), SomeTotal \(INT\)/);
    });
  }

  it('does not take a server in trouble for one that denies', async () => {
    const server = await refusingServer(INTERNAL);
    try {
      await assert.rejects(register(server.address), { code: INTERNAL });
    } finally {
      await server.close();
    }
  });
});

/** A gRPC server that answers every operator call with this status; old ones do not know GetSystemInfo, as here. */
async function refusingServer(status: number): Promise<{ address: string; close: () => Promise<void> }> {
  const server = createServer();
  server.on('stream', (stream, headers) => {
    const asked = String(headers[':path']);
    const answer = asked.includes('OperatorService') ? status : UNIMPLEMENTED;
    stream.respond(
      { ':status': 200, 'content-type': 'application/grpc', 'grpc-status': String(answer), 'grpc-message': 'refused' },
      { endStream: true },
    );
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  return {
    address: `127.0.0.1:${port}`,
    close: async () => {
      server.close();
      await once(server, 'close');
    },
  };
}
