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
  /**
   * Keeps the `nth` message that contains `marker`, counted from now, and what its sender says after it, until
   * `release`. `held` resolves when it is kept.
   */
  holdBefore: (marker: string, nth?: number) => Readonly<{ held: Promise<void>; release: () => void }>;
  /**
   * Ends every connection on the server's side alone, and refuses new ones: the server knows that the client is gone,
   * but what it had said to the client is still there to be read.
   */
  cutOff: () => void;
  /** After `cutOff`: ends what is left of the old connections and lets new ones through. */
  restore: () => void;
  /**
   * From now on nothing gets through in either direction, and nothing is closed; new connections are accepted. The ones
   * that are there stay dead for ever.
   */
  swallow: () => void;
  /** After `swallow`: new connections get through. */
  spit: () => void;
  /** Repeat-safe. */
  close: () => Promise<void>;
}>;

type Wire = Readonly<{ client: Socket; upstream: Socket; mute: () => void; kill: () => void }>;
/** What to do with the `left`-th message that contains `marker`. @returns false when it must not be passed on */
type Watch = { marker: string; left: number; act: (wire: Wire, chunk: Buffer) => boolean };

/** Listens on a free port of 127.0.0.1 and forwards to another port there. */
export async function tcpProxy(targetPort: number): Promise<TcpProxy> {
  const wires = new Set<Wire>();
  const watches = new Set<Watch>();
  const swallowed = new Set<Socket>();
  let isCut = false;
  let swallows = false;

  const watched = (wire: Wire, chunk: Buffer): boolean => {
    const [due] = [...watches].filter(({ marker }) => chunk.includes(marker)).filter((watch) => --watch.left === 0);
    if (due === undefined) return true;
    watches.delete(due);
    return due.act(wire, chunk);
  };

  const server = createServer((client) => {
    client.on('error', () => undefined); // reported by the parts at its ends, as the one below
    if (isCut) return void client.destroy();
    if (swallows) {
      swallowed.add(client.on('close', () => swallowed.delete(client)).resume());
      return;
    }
    const upstream = connect(targetPort, '127.0.0.1');
    upstream.on('error', () => undefined);
    let muted = false;
    let dead = false;
    const wire = { client, upstream, mute: () => (muted = true), kill: () => (dead = true) };
    wires.add(wire);
    client.on('data', (chunk) => {
      if (!dead && watched(wire, chunk) && !upstream.destroyed) upstream.write(chunk);
    });
    upstream.on('data', (chunk) => {
      if (!muted && !dead) client.write(chunk);
    });
    client.on('close', () => {
      wires.delete(wire);
      upstream.destroy();
    });
    upstream.on('close', () => {
      if (!isCut && !dead) client.destroy();
    });
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');

  return {
    port: (server.address() as AddressInfo).port,
    muteAfter: (marker) =>
      new Promise((done) => {
        watches.add({ marker, left: 1, act: ({ mute }) => (mute(), done(), true) });
      }),
    holdBefore(marker, nth = 1) {
      let release: (() => void) | undefined;
      const held = new Promise<void>((done) => {
        const act = ({ client, upstream }: Wire, chunk: Buffer): boolean => {
          client.pause();
          release = () => {
            if (!upstream.destroyed) upstream.write(chunk);
            client.resume();
          };
          done();
          return false;
        };
        watches.add({ marker, left: nth, act });
      });
      return { held, release: () => release?.() };
    },
    cutOff() {
      isCut = true;
      for (const { upstream } of wires) upstream.destroy();
    },
    restore() {
      isCut = false;
      for (const { client, upstream } of wires) if (upstream.destroyed) client.destroy();
    },
    swallow() {
      swallows = true;
      for (const { kill } of wires) kill();
    },
    spit: () => void (swallows = false),
    async close() {
      if (!server.listening) return;
      for (const client of [...swallowed, ...[...wires].map((wire) => wire.client)]) client.destroy();
      server.close();
      await once(server, 'close');
    },
  };
}
