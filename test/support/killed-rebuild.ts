import { spawn } from 'node:child_process';
import { once } from 'node:events';

import type { ViewName } from '../../projections/view.ts';
import { query, type TestDatabases } from './databases.ts';
import { eventually } from './eventually.ts';

/**
 * Begins `npm run views:rebuild -- <view>` and kills it with SIGKILL when a part of the past is applied.
 *
 * @param env of the command
 * @returns how many events it had applied
 */
export async function killedRebuild(
  databases: TestDatabases,
  env: Readonly<Record<string, string>>,
  view: ViewName,
): Promise<number> {
  const child = spawn(process.execPath, ['--import', 'tsx', 'cli/views-rebuild.ts', view], { env, stdio: 'ignore' });
  const ended = once(child, 'exit');
  const applied = await eventually(`a part of the past of ${view} is applied`, async () => {
    const [row] = await query<{ applied: number }>(
      databases.adminUrl('views'),
      `select applied::int as applied from projection_rebuilds where view = '${view}' and applied > 0`,
    );
    if (row !== undefined) child.kill('SIGKILL');
    return row?.applied;
  });
  await ended;
  return applied;
}
