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
   * @param stopAfter asked after each undo; true means that the saga goes forward instead
   * @returns false when it was stopped
   */
  async run(attention: Attention, stopAfter: () => boolean): Promise<boolean> {
    const running: Promise<unknown>[] = [];
    for (const name of UNDO_ORDER) {
      const undo = this.#undos.get(name);
      if (undo === undefined) continue;

      const rounds = inRounds(name, attention, undo);
      running.push(rounds);
      await Promise.race([rounds, condition(() => attention.isParked(name))]);
      if (stopAfter()) return false;
    }
    await Promise.all(running);
    return true;
  }
}
