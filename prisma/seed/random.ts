/** A repeatable source of choices: the same start gives the same catalogue on every machine. */
export type Chance = Readonly<{
  /** A whole number from `low` to `high`, both included. */
  whole: (low: number, high: number) => number;
  /** True in `percent` of the cases. */
  happens: (percent: number) => boolean;
  pick: <T>(from: readonly T[]) => T;
}>;

/** The generator mulberry32: 32 bits of state are plenty for a few thousand choices. */
export function chance(start: number): Chance {
  let state = start;
  const next = (): number => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
  const whole = (low: number, high: number): number => low + Math.floor(next() * (high - low + 1));
  return {
    whole,
    happens: (percent) => next() * 100 < percent,
    pick: (from) => {
      const chosen = from[whole(0, from.length - 1)];
      if (chosen === undefined) throw new Error('nothing to pick from');
      return chosen;
    },
  };
}
