import { once } from 'node:events';
import { connect, createServer, type OutgoingHttpHeaders, type ServerHttp2Session } from 'node:http2';
import type { AddressInfo } from 'node:net';

/** What to do with the next call: `forward` lets the server have it; the result is the status that the client reads. */
type Intercept = (forward: () => void) => Promise<number>;

/** Stands between a client and its gRPC server, and answers single calls with an error of a test's choice. */
export type GrpcProxy = Readonly<{
  port: number;
  /** @param method of the service, such as `StartWorkflowExecution` */
  intercept: (method: string, answer: Intercept) => void;
  close: () => Promise<void>;
}>;

/** Listens on a free port of 127.0.0.1 and forwards to another port there. */
export async function grpcProxy(targetPort: number): Promise<GrpcProxy> {
  const intercepts = new Map<string, Intercept>();
  const sessions = new Set<ServerHttp2Session>();
  const upstream = connect(`http://127.0.0.1:${targetPort}`);
  const server = createServer();
  server.on('session', (session) => {
    sessions.add(session);
    session.on('close', () => sessions.delete(session));
  });

  server.on('stream', (stream, headers) => {
    stream.on('error', () => undefined); // the client reports it
    const method = headers[':path']?.split('/').at(-1) ?? '';
    const intercept = intercepts.get(method);
    const request = upstream.request(headers);
    request.on('error', () => undefined); // as above
    if (intercept !== undefined) {
      intercepts.delete(method);
      void intercept(() => void stream.pipe(request)).then((status) => {
        const answer = { ':status': 200, 'content-type': 'application/grpc', 'grpc-status': String(status) };
        stream.respond(answer, { endStream: true });
        request.close();
      });
      return;
    }
    let trailers: OutgoingHttpHeaders = {};
    stream.pipe(request);
    stream.on('close', () => request.close());
    request.on('response', (answer, flags) => {
      const endStream = (flags & 1) === 1; // NGHTTP2_FLAG_END_STREAM: an error comes in the headers alone
      if (stream.closed) return;
      stream.respond(answer, { endStream, waitForTrailers: !endStream });
      if (!endStream) request.pipe(stream);
    });
    request.on('trailers', (sent: OutgoingHttpHeaders) => (trailers = sent));
    stream.on('wantTrailers', () => stream.sendTrailers(trailers));
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');

  return {
    port: (server.address() as AddressInfo).port,
    intercept: (method, answer) => void intercepts.set(method, answer),
    async close() {
      upstream.destroy();
      for (const session of sessions) session.destroy();
      server.close();
      await once(server, 'close');
    },
  };
}
