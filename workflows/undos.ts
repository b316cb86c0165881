import { condition } from '@temporalio/workflow';

import type { Attention } from './attention.ts';
import { inRounds } from './rounds.ts';

/** The order in which undos run, whatever order they were registered in. Stock never waits for the gateway. */
const UNDO_ORDER = ['abandonPayment', 'releaseStock', 'closeOrder', 'settleWithGateway'] as const;
export type UndoName = (typeof UNDO_ORDER)[number];

/** Register an undo before its step runs: a step that timed out may have landed. It must be harmless if it did not. */
export class Undos {
  readonly #undos = new Map<UndoName, () => Promise<unknown>>();

  get any(): boolean {
    return this.#undos.size > 0;
  }

  add(name: UndoName, undo: () => Promise<unknown>): void {
    this.#undos.set(name, undo);
  }

  /** Only for a step that said on record that it did nothing. */
  drop(name: UndoName): void {
    this.#undos.delete(name);
  }

  /**
   * Runs all of them. One that is parked does not hold up the next, but all must end.
   *
   * @param goesForward asked with the answer of each undo that was not parked, before the next one runs
   * @returns false when the saga goes forward instead, and what was left was not undone
   */
  async run(attention: Attention, goesForward: (answer: unknown) => boolean): Promise<boolean> {
    const running: Promise<unknown>[] = [];
    for (const name of UNDO_ORDER) {
      const undo = this.#undos.get(name);
      if (undo === undefined) continue;

      const rounds = inRounds(name, attention, undo);
      running.push(rounds);
      const parked = condition(() => attention.isParked(name));
      // An answer that comes after it was parked is too late to go forward: stock may be gone by then.
      if (goesForward(await Promise.race([rounds, parked]))) return false;
    }
    await Promise.all(running);
    return true;
  }
}
