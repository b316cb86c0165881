import { execFile } from 'node:child_process';

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

/** What `npm run audit` says about the whole system. Code 0: every invariant holds, and everything was looked at. */
export const audited = ({ env }: Pick<TestSystem, 'env'>): Promise<Ended> =>
  runEntry('cli/audit.ts', [], env, LIMIT_MS);
