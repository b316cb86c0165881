/** Which view to build anew: a name of `projections/view.ts`, which only the worker knows. */
export type RebuildViewInput = Readonly<{ view: string }>;

/** What came of it, as Temporal keeps it: counts, and nothing of what the rows hold. */
export type RebuildViewResult = Readonly<{
  view: string;
  /** `REFUSED`: the past that was found lacks events that the live view has, which therefore stayed. */
  result: 'SWAPPED' | 'REFUSED';
  /** Where the past came from. */
  source: string;
  /** Events of the past that were applied. */
  applied: number;
  /** Events that could not be applied. */
  leftOut: number;
  /** Rows that were not the same live and rebuilt. */
  differences: number;
  /** Events that the live view has and the past that was found has not. */
  lacking: number;
}>;

export type RebuildDeps = Readonly<{
  /**
   * Rebuilds a view; it goes on where an earlier attempt was.
   *
   * @throws ApplicationFailure where trying again would not help
   */
  rebuild: (view: string, signal: AbortSignal, onStep: (step: string) => void) => Promise<RebuildViewResult>;
  /** Aborted when the activity is cancelled, or its worker ends. */
  signal: () => AbortSignal;
  beat: (step: string) => void;
}>;

/** Well below the heartbeat time-out of the workflow, milliseconds. */
const BEAT_MS = 5_000;

/** Upkeep of the views (task queue `views`). */
export const rebuildActivities = ({ rebuild, signal, beat }: RebuildDeps) => ({
  /** Builds a view anew while it serves. Repeat-safe: an attempt goes on where the one before was cut off. */
  async rebuildView({ view }: RebuildViewInput): Promise<RebuildViewResult> {
    let at = 'starting';
    beat(at);
    // Not only at each step: comparing large tables, or waiting for a reader, takes longer than a beat may.
    const beating = setInterval(() => beat(at), BEAT_MS);
    try {
      return await rebuild(view, signal(), (step) => (at = step));
    } finally {
      clearInterval(beating);
    }
  },
});

export type RebuildActivities = ReturnType<typeof rebuildActivities>;
