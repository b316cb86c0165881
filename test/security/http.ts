import { Agent, createServer, request, type RequestListener } from 'node:http';
import type { AddressInfo } from 'node:net';

/** `path` goes out as it is. A header may be sent several times. A body of bytes is sent without a length when `chunked`. */
export type Request = Readonly<{
  method: string;
  path: string;
  headers?: Readonly<Record<string, string | readonly string[]>>;
  body?: string | Buffer;
  chunked?: boolean;
}>;

export type Reply = Readonly<{
  status: number;
  headers: Readonly<Record<string, string | readonly string[] | undefined>>;
  text: string;
}>;

/** Sends one request. A stream of events is left as soon as its headers have come. */
export type Send = (request: Request) => Promise<Reply>;

export type Listening = Readonly<{ port: number; send: Send; close: () => Promise<void> }>;

const REPLY_LIMIT_MS = 30_000;
const MOST_SOCKETS = 32;

/** Serves an app on a socket of its own, because a test client that builds requests hides what HTTP itself allows. */
export async function listening(app: RequestListener): Promise<Listening> {
  const server = createServer(app);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  const { send, close } = sender(port);
  return {
    port,
    send,
    async close() {
      close();
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

/** A client of an API that listens already. */
export function sender(port: number): Readonly<{ send: Send; close: () => void }> {
  const agent = new Agent({ keepAlive: true, maxSockets: MOST_SOCKETS });
  const send: Send = ({ method, path, headers = {}, body, chunked = false }) =>
    new Promise((resolve, reject) => {
      const length = body === undefined || chunked ? {} : { 'content-length': String(Buffer.byteLength(body)) };
      const options = { agent, host: '127.0.0.1', port, method, path, timeout: REPLY_LIMIT_MS };
      const req = request({ ...options, headers: { ...length, ...(headers as Record<string, string | string[]>) } });
      req.on('timeout', () => req.destroy(new Error(`${method} ${path} was not answered in time`)));
      req.on('error', reject);
      req.on('response', (res) => {
        const status = res.statusCode ?? 0;
        if (res.headers['content-type']?.startsWith('text/event-stream') === true) {
          resolve({ status, headers: res.headers, text: '' });
          res.destroy();
          return;
        }
        const chunks: Buffer[] = [];
        res.on('data', (chunk: Buffer) => chunks.push(chunk));
        res.on('error', reject);
        res.on('end', () => resolve({ status, headers: res.headers, text: Buffer.concat(chunks).toString() }));
      });
      req.end(body);
    });
  return { send, close: () => agent.destroy() };
}
