import { condition } from '@temporalio/workflow';

import type { ParkedStep, Resolution } from './contract.ts';

/** Steps that could not be done and wait for a person or for their next round (docs/operations.md, "NEEDS_ATTENTION"). */
export class Attention {
  readonly #parked = new Map<string, ParkedStep>();
  readonly #resolutions = new Map<string, Resolution['action']>();
  readonly #changed: (what: string) => void;

  /** @param changed told in one sentence whenever a step is parked or goes on */
  constructor(changed: (what: string) => void) {
    this.#changed = changed;
  }

  get parked(): readonly ParkedStep[] {
    return [...this.#parked.values()];
  }

  isParked(step: string): boolean {
    return this.#parked.has(step);
  }

  /**
   * Parks a step until `resolve`, or until `pauseMs` is over when it is given.
   *
   * @param reason what a person is told: codes and driver messages, never payloads
   */
  async wait(step: string, reason: string, pauseMs?: number): Promise<Resolution['action']> {
    this.#parked.set(step, { step, reason, since: new Date().toISOString() });
    this.#changed(`${step} is parked: ${reason}`);

    const resolved = (): boolean => this.#resolutions.has(step);
    if (pauseMs === undefined) await condition(resolved);
    else await condition(resolved, pauseMs);

    const action = this.#resolutions.get(step) ?? 'retry';
    this.#resolutions.delete(step);
    this.#parked.delete(step);
    this.#changed(`${step} goes on: ${action}`);
    return action;
  }

  /** Ends the wait of every parked step. @returns their names */
  resolve(action: Resolution['action']): string[] {
    const steps = [...this.#parked.keys()];
    for (const step of steps) this.#resolutions.set(step, action);
    return steps;
  }
}
