import type { Config } from '../../infra/config.ts';
import { openViews } from '../../infra/databases.ts';
import { type Endpoints, withEndpoints } from '../../infra/endpoints.ts';
import { readViewLags } from '../../projections/progress.ts';
import { type Check, notice, ok, problem } from './check.ts';

/** A view that has not been up to date for longer than this is no longer what readers expect. Milliseconds. */
const LATE_MS = 60_000;

/** Whether each view has had all that is on the bus, lately. */
export async function checkViews(config: Config, running: Endpoints | undefined): Promise<Check> {
  const name = 'Views';
  const url = withEndpoints(config, running).databaseUrls.views;
  if (url === undefined || running === undefined) return notice(name, 'fed by `npm start`, or by `npm run events`');
  const db = openViews(url, { poolSize: 1 });
  try {
    const lags = Object.entries(await readViewLags(db));
    const late = lags.filter(([, lagMs]) => (lagMs ?? Infinity) > LATE_MS);
    if (late.length === 0)
      return ok(name, `up to date within ${secondsOf(Math.max(...lags.map(([, ms]) => ms ?? 0)))}`);
    const which = late.map(([view, ms]) => `${view} (${ms === null ? 'never' : `${secondsOf(ms)} ago`})`).join(', ');
    return problem(name, `last up to date: ${which}`, 'Look at logs/events.log in DATA_DIR.');
  } finally {
    await db.$disconnect();
  }
}

const secondsOf = (ms: number): string => `${(ms / 1_000).toFixed(1)} s`;
