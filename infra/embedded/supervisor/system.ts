import { join } from 'node:path';

import type { Config } from '../../config.ts';
import { type Endpoints, removeEndpoints, writeEndpoints } from '../../endpoints.ts';
import type { DatabaseUrls, TemporalPlace } from './environment.ts';
import { type KeptPart, keptPart, type KeptPartOptions } from './kept-part.ts';
import type { RunningPart } from './part.ts';
import type { Claim } from './run-record.ts';

/** The parts in the order in which they must end: nobody loses what it works with, and what is written is relayed. */
const STOP_ORDER = ['api', 'workers', 'events', 'gateway', 'temporal', 'postgres'] as const;
export type PartName = (typeof STOP_ORDER)[number];

/** What the steps of the start have found out so far. */
export type Found = {
  databases: DatabaseUrls;
  temporal: TemporalPlace;
  gatewayUrl: string | undefined;
  /** Chosen long before the API starts, because the gateway has to know it. */
  apiPort: Promise<number> | undefined;
  apiUrl: string | undefined;
  /** Where the metrics of relays and projection are. */
  metricsUrl: string | undefined;
};

/** The whole system on this machine: its parts, and what is known about them. */
export type System = Readonly<{
  config: Config;
  found: Found;
  say: (line: string) => void;
  logOf: (name: PartName) => string;
  /** Writes a process down as ours, for the case that we are killed. */
  record: (name: PartName, pid: number) => void;
  /** Starts a part and keeps it running. */
  keep: (name: PartName, stopLimitMs: number, start: KeptPartOptions['start']) => Promise<RunningPart>;
  /** From now on the file says where everything is, after restarts too. */
  publish: (endpoints: Omit<Endpoints, 'pids'>) => void;
  /** Ends all parts in order, each within its limit. Repeating it waits for the same end. */
  stop: () => Promise<void>;
  /** Ends all parts at once. */
  kill: () => void;
  stopping: () => boolean;
  /** The work's result; rejected as soon as the system is told to stop, because a download may take minutes. */
  unlessStopping: <T>(work: Promise<T>) => Promise<T>;
}>;

export function openSystem(config: Config, claim: Claim, say: (line: string) => void): System {
  const parts = new Map<PartName, KeptPart>();
  const pids: Record<string, number> = {};
  let published: Omit<Endpoints, 'pids'> | undefined;
  let stopped: Promise<void> | undefined;
  const told = new AbortController();
  const found: Found = {
    databases: {},
    temporal: {},
    gatewayUrl: config.gatewayUrl,
    apiPort: undefined,
    apiUrl: undefined,
    metricsUrl: undefined,
  };
  const write = () => {
    if (published === undefined || stopped !== undefined) return;
    writeEndpoints(config.dataDir, { ...published, pids: { supervisor: process.pid, ...pids } });
  };

  function keep(name: PartName, stopLimitMs: number, start: KeptPartOptions['start']): Promise<RunningPart> {
    if (stopped !== undefined) return Promise.reject(new Error('stopping'));
    const started = ({ pid }: RunningPart) => {
      pids[name] = pid;
      claim.record(name, pid);
      write();
    };
    const part = keptPart({ name, start, stopLimitMs, say, started });
    parts.set(name, part);
    return part.start();
  }

  async function end(): Promise<void> {
    told.abort();
    removeEndpoints(config.dataDir);
    for (const name of STOP_ORDER) await parts.get(name)?.stop();
    claim.release();
  }

  return {
    config,
    found,
    say,
    logOf: (name) => join(config.dataDir, 'logs', `${name}.log`),
    record: claim.record,
    keep,
    publish: (endpoints) => {
      published = endpoints;
      write();
    },
    stop: () => (stopped ??= end()),
    kill: () => {
      for (const part of parts.values()) part.kill();
    },
    stopping: () => stopped !== undefined,
    unlessStopping: (work) => Promise.race([work, whenAborted(told.signal)]),
  };
}

function whenAborted(signal: AbortSignal): Promise<never> {
  return new Promise((_resolve, reject) => {
    signal.addEventListener('abort', () => reject(new Error('told to stop')), { once: true });
  });
}
