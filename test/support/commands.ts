import { execFile } from 'node:child_process';

import { INVARIANT_IDS } from '../../infra/audit/finding.ts';
import type { TestSystem } from './system.ts';

const LIMIT_MS = 120_000;

/** How a command of ours ended; code 255 when it was ended for taking longer than its limit. */
export type Ended = Readonly<{ code: number; stdout: string; stderr: string }>;

/** Runs an entry file to its end, at most `limitMs` milliseconds, after which it is killed. */
export const runEntry = (
  script: string,
  args: readonly string[],
  env: Readonly<Record<string, string>>,
  limitMs: number,
): Promise<Ended> =>
  new Promise((resolve) => {
    const node = [process.execPath, ['--import', 'tsx', script, ...args]] as const;
    execFile(...node, { env, timeout: limitMs, killSignal: 'SIGKILL' }, (error, stdout, stderr) => {
      const code = error === null ? 0 : typeof error.code === 'number' ? error.code : 255;
      resolve({ code, stdout, stderr });
    });
  });

/**
 * What `npm run audit` says about the whole system. Code 0: every invariant holds, and everything was looked at.
 *
 * @param relays whether relays run: where none do, no event can be expected on the bus and in the views
 */
export const audited = ({ env }: Pick<TestSystem, 'env'>, { relays = false } = {}): Promise<Ended> =>
  runEntry('cli/audit.ts', relays ? [] : ['--only', WITHOUT_RELAYS.join(',')], env, LIMIT_MS);

/** The invariants that hold where no relay and no projection runs. */
export const WITHOUT_RELAYS = INVARIANT_IDS.filter((id) => id !== 7 && id !== 8);
