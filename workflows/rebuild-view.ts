import { setCurrentDetails } from '@temporalio/workflow';

import type { RebuildViewInput, RebuildViewResult } from '../activities/views/rebuild.ts';
import { rebuilding } from './services.ts';

/**
 * Builds a view anew from its past while it serves (docs/operations.md, "Rebuild a view"). One at a time per view, by its
 * workflow id. An attempt that is cut off is gone on with by the next.
 */
export async function rebuildView(input: RebuildViewInput): Promise<RebuildViewResult> {
  const done = await rebuilding.rebuildView(input);
  const { view, result, source, applied, leftOut, differences, lacking } = done;
  const end =
    result === 'SWAPPED' ? 'rebuilt' : `**not put in place**: ${lacking} events of it are not in the ${source}`;
  setCurrentDetails(
    [
      `### ${view}: ${end}`,
      `- ${applied} events from the ${source}, ${leftOut} left out`,
      `- ${differences} rows were not the same`,
    ].join('\n'),
  );
  return done;
}
