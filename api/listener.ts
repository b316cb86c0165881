import { randomUUID } from 'node:crypto';
import { createServer, type IncomingMessage, type RequestListener, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import type { Duplex } from 'node:stream';

import { CheckoutError } from '../domain/errors.ts';
import type { Logger } from '../infra/log.ts';
import { problemOf } from './problem.ts';

/** What a client may take its time for, and how many there may be. Milliseconds. */
export type ListenerLimits = Readonly<{
  /** For the headers, and for the whole request. */
  headersMs: number;
  requestMs: number;
  /** For the next part of an answer that is written. */
  takingMs: number;
  /** For a body that was refused, so that whoever sends it can read why. */
  lingerMs: number;
  /** Without a request. Longer than proxies keep a connection, so that none of them sends into one that we close. */
  idleMs: number;
  /** How often the first two are looked at. */
  checkEveryMs: number;
  /** Open at a time; more are not accepted. */
  connections: number;
}>;

export const LISTENER_LIMITS: Omit<ListenerLimits, 'connections'> = {
  headersMs: 10_000,
  requestMs: 30_000,
  takingMs: 30_000,
  lingerMs: 2_000,
  idleMs: 65_000,
  checkEveryMs: 1_000,
};

export type ListenerOptions = Readonly<{
  limits: ListenerLimits;
  /** Aborted when the process is asked to stop: from then on every answer is the last one of its connection. */
  stopping: AbortSignal;
  log: Logger;
}>;

/**
 * A server that no client can hold up: who sends or reads too slowly is cut off, what is no HTTP is answered with a
 * problem as far as that is possible. It does not listen yet.
 */
export function createListener(app: RequestListener, { limits, stopping, log }: ListenerOptions): Server {
  const answering = new Map<Duplex, ServerResponse>();
  const { headersMs, requestMs, idleMs, checkEveryMs } = limits;
  const times = { headersTimeout: headersMs, requestTimeout: requestMs, keepAliveTimeout: idleMs };
  const server = createServer({ ...times, connectionsCheckingInterval: checkEveryMs }, (req, res) => {
    const { socket } = req;
    answering.set(socket, res);
    res.once('close', () => {
      if (answering.get(socket) === res) answering.delete(socket);
    });
    if (stopping.aborted) res.setHeader('Connection', 'close');
    limitTaking(req, res, limits);
    app(req, res);
  });
  server.maxConnections = limits.connections;
  server.on(
    'drop',
    onceAMinute((count) => log.warn({ count }, 'connections were not accepted: too many are open')),
  );
  server.on('clientError', (error: NodeJS.ErrnoException, socket) => {
    const answer = answering.get(socket);
    log.info({ reason: error.code }, 'a connection was ended: what it sent is no request, or too slow');
    // Where a whole request is being answered, an answer to what follows it would be taken for its own.
    if (!socket.writable || answer?.headersSent === true || answer?.req.complete === true) return void socket.destroy();
    socket.end(rawProblem(error));
    setTimeout(() => socket.destroy(), limits.lingerMs).unref();
  });
  stopping.addEventListener('abort', () => {
    for (const res of answering.values()) if (!res.headersSent) res.setHeader('Connection', 'close');
  });
  return server;
}

/** @throws the error of `listen`, such as EADDRINUSE */
export function listen(server: Server, port: number, host: string): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen(port, host, () => {
      server.removeListener('error', reject);
      resolve();
    });
  });
}

/** Takes no new connection, lets running requests end, and cuts what is left after `limitMs` milliseconds. */
export async function drain(server: Server, limitMs: number): Promise<void> {
  const limit = setTimeout(() => server.closeAllConnections(), limitMs);
  await new Promise<void>((resolve) => {
    server.close(() => resolve());
    server.closeIdleConnections();
  });
  clearTimeout(limit);
}

export function urlOf(server: Server): string {
  const { address, family, port } = server.address() as AddressInfo;
  return `http://${family === 'IPv6' ? `[${address}]` : address}:${port}`;
}

/** An answer that nobody takes, and a body that nobody wants, hold a connection and memory of ours. */
function limitTaking(req: IncomingMessage, res: ServerResponse, { takingMs, lingerMs }: ListenerLimits): void {
  const { socket } = req;
  res.once('prefinish', () => socket.setTimeout(takingMs)); // Node ends it then, and sets its own when all is taken
  res.once('close', () => {
    if (!req.complete && !socket.destroyed) endUnlessComplete(req, socket, lingerMs);
  });
}

function endUnlessComplete(req: IncomingMessage, socket: Socket, lingerMs: number): void {
  const timer = setTimeout(() => socket.destroy(), lingerMs);
  for (const event of ['end', 'close']) req.once(event, () => clearTimeout(timer));
}

/** What Node's parser and its clock say of a request, as an answer. The rest of the connection cannot be understood. */
function rawProblem({ code }: NodeJS.ErrnoException): string {
  const problem = problemOf(refusalFor(code));
  const body = JSON.stringify(problem);
  return [
    `HTTP/1.1 ${problem.status} ${problem.title}`,
    'Content-Type: application/problem+json',
    `Content-Length: ${Buffer.byteLength(body)}`,
    `X-Request-Id: ${randomUUID()}`,
    'X-Content-Type-Options: nosniff',
    'Connection: close',
    '',
    body,
  ].join('\r\n');
}

function refusalFor(code: string | undefined): CheckoutError {
  if (code === 'HPE_HEADER_OVERFLOW') return new CheckoutError('HEADERS_TOO_LARGE', 'send at most 16 KiB of headers');
  if (code === 'ERR_HTTP_REQUEST_TIMEOUT') return new CheckoutError('REQUEST_TIMEOUT', 'the request came too slowly');
  return new CheckoutError('MALFORMED_REQUEST', 'this is no HTTP request');
}

const MINUTE_MS = 60_000;

/** Passes on how often it was called, the first time at once and then at most once a minute. */
function onceAMinute(tell: (count: number) => void): () => void {
  let count = 0;
  let toldMs = -Infinity;
  return () => {
    count += 1;
    if (performance.now() - toldMs < MINUTE_MS) return;
    tell(count);
    toldMs = performance.now();
    count = 0;
  };
}
