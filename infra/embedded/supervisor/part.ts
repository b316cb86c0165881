/** A part of the system that runs: a process of ours or a server. */
export type RunningPart = Readonly<{
  pid: number;
  /** Where it is reached, for parts that listen. */
  url?: string;
  /** Fulfilled when the process is gone, with the reason in words. Never rejected. */
  ended: Promise<string>;
  /** Asks it to end, waits at most `limitMs`, then kills it. */
  stop: (limitMs: number) => Promise<'clean' | 'killed'>;
  /** Ends it now, work in hand or not. */
  kill: () => void;
}>;

/** Thrown when a part did not start. Its message is complete: what failed, its last log lines, where the rest is. */
export class StartFailed extends Error {}
