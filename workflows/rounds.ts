import { ActivityFailure } from '@temporalio/workflow';

import type { Attention } from './attention.ts';
import { reasonOf, refusalIn } from './failures.ts';

const FIRST_PAUSE_MS = 60_000;
const LONGEST_PAUSE_MS = 3_600_000;

/**
 * For an undo, or a step past the pivot. A round is one activity with a schedule-to-close limit. After a failed round
 * the saga shows NEEDS_ATTENTION until `resolve` or the pause ends it; a final "no" waits for `resolve`.
 *
 * @returns undefined when an operator marked the step done
 */
export async function inRounds<T>(step: string, attention: Attention, round: () => Promise<T>): Promise<T | undefined> {
  for (let pauseMs = FIRST_PAUSE_MS; ; pauseMs = Math.min(2 * pauseMs, LONGEST_PAUSE_MS)) {
    try {
      return await round();
    } catch (error) {
      if (!(error instanceof ActivityFailure)) throw error;
      const final = refusalIn(error) !== undefined;
      if ((await attention.wait(step, reasonOf(error), final ? undefined : pauseMs)) === 'markDone') return undefined;
    }
  }
}
