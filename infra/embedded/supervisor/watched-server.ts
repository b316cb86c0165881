import { setTimeout as sleep } from 'node:timers/promises';

import type { RunningPart } from './part.ts';
import { identify, signal, stillRuns } from './process-identity.ts';

const POLL_MS = 250;

export type Server = Readonly<{ pid: number; stop: () => Promise<void> }>;

/**
 * A server as a part of the system. It may have been taken over from a killed run, so it need not be our child: its
 * end is seen by looking.
 *
 * @param hardSignal what ends it at once without damage
 */
export function watchedServer(server: Server, url: string, hardSignal: NodeJS.Signals): RunningPart {
  const kill = () => signal(server.pid, hardSignal);
  return {
    pid: server.pid,
    url,
    ended: whenGone(server.pid),
    async stop(limitMs) {
      const late = new AbortController();
      const limit = sleep(limitMs, 'killed' as const, { signal: late.signal }).catch(() => 'clean' as const);
      const clean = server.stop().then(() => 'clean' as const);
      const outcome = await Promise.race([clean, limit]);
      late.abort();
      if (outcome === 'killed') kill();
      return outcome;
    },
    kill,
  };
}

async function whenGone(pid: number): Promise<string> {
  const identity = identify(pid);
  while (identity !== undefined && stillRuns(identity)) await sleep(POLL_MS);
  return `process ${pid} is gone`;
}
