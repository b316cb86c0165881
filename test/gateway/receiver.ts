import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';

import { simulatedWebhook } from '../../infra/payment-gateway/simulated-webhook.ts';
import type { ProviderEvent } from '../../infra/payment-gateway/webhook.ts';
import { eventually } from '../support/eventually.ts';

export const webhookSecret = (): string => `whsec_${randomBytes(24).toString('base64')}`;

/** What the shop's inlet is to the gateway: a server that takes webhooks, or does not. */
export type Receiver = Readonly<{
  endpoint: { url: string; secret: string };
  /** Everything that came with a good signature, in the order of arrival, also what was not taken. */
  arrived: readonly ProviderEvent[];
  /** Statuses of the next answers, 0 for one that never comes; 204 when there is none left. */
  answerNext: (...statuses: number[]) => void;
  ofOrder: (orderId: string) => ProviderEvent[];
  /** Waits until so many have arrived for the order. @returns them */
  until: (orderId: string, count: number) => Promise<ProviderEvent[]>;
  /** Stops to listen, so that connections are refused, and listens on the same port again. */
  down: () => Promise<void>;
  up: () => Promise<void>;
  close: () => Promise<void>;
}>;

export async function openReceiver(secret = webhookSecret()): Promise<Receiver> {
  const read = simulatedWebhook([secret]);
  const arrived: ProviderEvent[] = [];
  const rejected: unknown[] = [];
  const statuses: number[] = [];
  const server = createServer((req, res) => {
    const chunks: Buffer[] = [];
    req.on('data', (chunk: Buffer) => chunks.push(chunk));
    req.on('end', () => {
      try {
        const event = read(Buffer.concat(chunks), req.headers);
        if (event !== null) arrived.push(event);
      } catch (error) {
        rejected.push(error);
      }
      const status = statuses.shift() ?? 204;
      if (status === 0) return;
      res.writeHead(status, status === 302 ? { location: '/elsewhere' } : {}).end();
    });
  });
  const listen = async (port: number): Promise<number> => {
    server.listen(port, '127.0.0.1');
    await once(server, 'listening');
    return (server.address() as AddressInfo).port;
  };
  const down = async (): Promise<void> => {
    const closed = once(server, 'close');
    server.close();
    server.closeAllConnections();
    await closed;
  };
  const port = await listen(0);
  const ofOrder = (orderId: string) => arrived.filter(({ fields }) => fields['orderId'] === orderId);
  return {
    endpoint: { url: `http://127.0.0.1:${port}/webhooks`, secret },
    arrived,
    answerNext: (...next) => void statuses.push(...next),
    ofOrder,
    until: (orderId, count) =>
      eventually(`${count} webhooks of one order have arrived`, () => {
        const events = ofOrder(orderId);
        return Promise.resolve(events.length >= count ? events : undefined);
      }),
    down,
    up: async () => {
      await listen(port);
    },
    close: async () => {
      if (server.listening) await down();
      assert.deepEqual(rejected, [], 'the gateway sent a webhook that the shop would reject');
    },
  };
}
