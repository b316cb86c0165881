import type { AddressInfo } from 'node:net';
import { connect, createServer } from 'node:net';

const HOST = '127.0.0.1';
const CONNECT_LIMIT_MS = 1_000;

export type PortChoice = Readonly<{
  /** What was asked for; undefined leaves the choice to us, 0 asks for any free port. */
  explicit: number | undefined;
  preferred: number;
  /** The environment variable that sets this port, for the error. */
  variable: string;
  /** Told when the preferred port is taken and another one is used. */
  note?: (text: string) => void;
}>;

/** A port of 127.0.0.1 that nobody listens on right now. Somebody else may take it before you do. */
export function freePort(): Promise<number> {
  return listenOnce(0);
}

/**
 * The port to listen on: the one asked for, or else the preferred one, or else a free one with a note.
 *
 * @throws when the port that was asked for is taken; the message names its variable
 */
export async function choosePort({ explicit, preferred, variable, note }: PortChoice): Promise<number> {
  if (explicit === 0) return freePort();
  if (explicit !== undefined) {
    if (await isFree(explicit)) return explicit;
    throw new Error(`Port ${explicit} is taken. End what listens there, or set ${variable} to another port.`);
  }
  if (await isFree(preferred)) return preferred;
  const port = await freePort();
  note?.(`Port ${preferred} is taken, so ${port} is used. Set ${variable} to choose another.`);
  return port;
}

/** True when somebody accepts connections on this port of 127.0.0.1. Unlike `isFree` it is never in a server's way. */
export function isListening(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ port, host: HOST, timeout: CONNECT_LIMIT_MS });
    const answer = (listening: boolean) => {
      socket.destroy();
      resolve(listening);
    };
    socket.once('connect', () => answer(true));
    socket.once('error', () => answer(false));
    socket.once('timeout', () => answer(false));
  });
}

/** True when we could listen on this port of 127.0.0.1. */
export async function isFree(port: number): Promise<boolean> {
  try {
    await listenOnce(port);
    return true;
  } catch {
    return false; // whatever the reason, we cannot listen there
  }
}

function listenOnce(port: number): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.once('error', reject);
    server.listen({ port, host: HOST, exclusive: true }, () => {
      const { port: bound } = server.address() as AddressInfo;
      server.close((error) => (error === undefined ? resolve(bound) : reject(error)));
    });
  });
}
