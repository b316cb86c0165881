import type { Audited } from '../infra/audit/audit.ts';
import type { InvariantId } from '../infra/audit/finding.ts';

/** What one look gave. `leftOut`: invariants that this process cannot look at, and why. */
export type Looked = Readonly<{ audited: Audited; leftOut: ReadonlyMap<InvariantId, string> }>;
export type Verdict = Looked & Readonly<{ startedAt: Date; finishedAt: Date }>;
/** It goes on. `last`: the one before, if there was one. */
export type StillRunning = Readonly<{ since: Date; last: Verdict | undefined }>;

/** A verdict that nobody has heard of is kept that long for whoever asked for it, milliseconds. */
const UNTOLD_MS = 15 * 60_000;

type Run = Readonly<{ startedAt: Date; end: Promise<Verdict> }>;

/** Runs one audit at a time, and answers everybody who asks meanwhile with it. */
export class AuditRuns {
  readonly #look: () => Promise<Looked>;
  readonly #untoldMs: number;
  #run: Run | undefined;
  #last: Verdict | undefined;
  #waiting = 0;
  /** How the last one ended, if nobody was there to hear of it, and when. */
  #untold: Readonly<{ end: Promise<Verdict>; sinceMs: number }> | undefined;

  constructor(look: () => Promise<Looked>, untoldMs = UNTOLD_MS) {
    this.#look = look;
    this.#untoldMs = untoldMs;
  }

  /**
   * The verdict of the audit that runs, of one that ended lately and nobody has heard of yet, of the last one if it is
   * young enough, or else of a new one.
   *
   * @param maxAgeMs since the end of the last one, milliseconds; 0 takes none that was told already
   * @param patienceMs milliseconds; an audit that takes longer goes on without whoever asked
   * @throws what the audit could not be done for
   */
  async ask({
    maxAgeMs,
    patienceMs,
  }: Readonly<{ maxAgeMs: number; patienceMs: number }>): Promise<Verdict | StillRunning> {
    if (this.#run === undefined) {
      const untold = this.#untold;
      this.#untold = undefined;
      if (untold !== undefined && performance.now() - untold.sinceMs < this.#untoldMs) return untold.end;
      if (this.#last !== undefined && Date.now() - this.#last.finishedAt.getTime() < maxAgeMs) return this.#last;
    }
    return this.#wait(this.#run ?? this.#start(), patienceMs);
  }

  #start(): Run {
    const startedAt = new Date();
    const end = this.#look().then((looked) => ({ ...looked, startedAt, finishedAt: new Date() }));
    const over = (verdict?: Verdict): void => {
      this.#run = undefined;
      this.#last = verdict ?? this.#last;
      if (this.#waiting === 0) this.#untold = { end, sinceMs: performance.now() };
    };
    end.then(over, () => over());
    return (this.#run = { startedAt, end });
  }

  async #wait({ startedAt, end }: Run, patienceMs: number): Promise<Verdict | StillRunning> {
    const running = (): StillRunning => ({ since: startedAt, last: this.#last });
    let timer: NodeJS.Timeout | undefined;
    const enough = new Promise<StillRunning>((resolve) => {
      timer = setTimeout(() => resolve(running()), patienceMs);
    });
    this.#waiting += 1;
    try {
      return await Promise.race([end, enough]);
    } finally {
      this.#waiting -= 1;
      clearTimeout(timer);
    }
  }
}
