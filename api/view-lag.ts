import type { Databases } from '../infra/databases.ts';
import { readViewLags } from '../projections/progress.ts';
import type { ViewName } from '../projections/view.ts';

/**
 * `viewLagMs` of an answer: no event that the view lacks is older. Null for a view that was never up to date. Ask before
 * the rows are read, so that they are at least as new as it says.
 */
export async function viewLagMs(views: Databases['views'], view: ViewName): Promise<number | null> {
  const lag = (await readViewLags(views))[view];
  return lag === null ? null : Math.round(lag);
}
