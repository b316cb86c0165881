import { condition } from '@temporalio/workflow';

import type { Attention } from './attention.ts';
import { inRounds } from './rounds.ts';

/** The order in which undos run, whatever order they were registered in. Stock never waits for the gateway. */
const UNDO_ORDER = ['abandonPayment', 'releaseStock', 'closeOrder', 'settleWithGateway'] as const;
export type UndoName = (typeof UNDO_ORDER)[number];

/** Register an undo before its step runs: a step that timed out may have landed. It must be harmless if it did not. */
export class Undos {
  readonly #undos = new Map<UndoName, () => Promise<unknown>>();
  readonly #ended = new Set<UndoName>();

  get any(): boolean {
    return this.#undos.size > 0;
  }

  add(name: UndoName, undo: () => Promise<unknown>): void {
    this.#undos.set(name, undo);
  }

  /** Only where it is on record that there is nothing to undo. */
  dropAll(): void {
    this.#undos.clear();
  }

  /** True when it was done, or a person marked it done; false while it is parked. */
  hasEnded(name: UndoName): boolean {
    return this.#ended.has(name);
  }

  /**
   * Runs all of them. One that is parked does not hold up the next, but all must end.
   *
   * @param goesForward asked once, when the payment was given up or that is parked, before anything else is undone: an
   *   answer that comes later is too late to go forward, because stock may be gone by then
   * @returns false when the saga goes forward instead, and what was left was not undone
   */
  async run(attention: Attention, goesForward: () => Promise<boolean>): Promise<boolean> {
    const running: Promise<unknown>[] = [];
    for (const name of UNDO_ORDER) {
      const undo = this.#undos.get(name);
      if (undo === undefined) continue;

      const rounds = inRounds(name, attention, undo).finally(() => this.#ended.add(name));
      running.push(rounds);
      const parked = condition(() => attention.isParked(name));
      await Promise.race([rounds, parked]);
      if (name === 'abandonPayment' && (await goesForward())) return false;
    }
    await Promise.all(running);
    return true;
  }
}
