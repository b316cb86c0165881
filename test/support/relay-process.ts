import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';

import { eventually } from './eventually.ts';

export type RelaySettings = Readonly<{
  platformUrl: string;
  busUrl: string;
  leaseMs: number;
  /** Where it waits once, in its first publish. */
  waits?: 'before' | 'after';
}>;

/** What a relay process tells. */
export type RelayNews = Readonly<
  Partial<{ ready: true; waits: 'before' | 'after'; published: number; fenced: number }>
>;

export type RelayProcess = Readonly<{
  /** Resolves when it stands where it was told to wait. */
  waiting: () => Promise<void>;
  goOn: () => void;
  signal: (name: NodeJS.Signals) => void;
  /** Events that it published after it had lost their partition. */
  fenced: () => number;
  published: () => number;
  /** SIGKILL, if it still runs. */
  end: () => Promise<void>;
}>;

/** Starts a relay as a process of its own, which a test may freeze or kill. */
export async function relayProcess(settings: RelaySettings): Promise<RelayProcess> {
  const child = fork('test/events/processes/relay.ts', [JSON.stringify(settings)], { execArgv: ['--import', 'tsx'] });
  const news: RelayNews[] = [];
  child.on('message', (message) => news.push(message as RelayNews));
  const told = (what: string, match: (one: RelayNews) => boolean) =>
    eventually(`a relay process ${what}`, () => {
      if (hasEnded(child)) throw new Error(`it ended with ${child.exitCode ?? child.signalCode} before it ${what}`);
      return Promise.resolve(news.some(match) || undefined);
    });
  await told('is ready', ({ ready }) => ready === true);

  const sum = (name: 'published' | 'fenced') => news.reduce((total, one) => total + (one[name] ?? 0), 0);
  return {
    waiting: async () => void (await told('waits', ({ waits }) => waits !== undefined)),
    goOn: () => void child.send('go on'),
    signal: (name) => void child.kill(name),
    published: () => sum('published'),
    fenced: () => sum('fenced'),
    async end() {
      if (hasEnded(child)) return;
      const ended = once(child, 'exit');
      child.kill('SIGKILL');
      await ended;
    },
  };
}

const hasEnded = ({ exitCode, signalCode }: ChildProcess): boolean => exitCode !== null || signalCode !== null;
