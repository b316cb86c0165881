import type { Context } from 'mocha';

import { skipBecause } from './skip.ts';

/** A place where a program may be had, and how. */
export type Source = readonly [name: string, get: () => Promise<string>];

/**
 * The path of the first source that has one.
 *
 * @throws with every source and why it failed
 */
export async function firstOf(sources: readonly Source[]): Promise<string> {
  const failures: string[] = [];
  for (const [name, get] of sources) {
    try {
      return await get();
    } catch (error) {
      failures.push(`${name}: ${messageOf(error)}`);
    }
  }
  throw new Error(failures.join('; '));
}

/**
 * What a suite cannot do without. Where it is not found, the suite of the hook that calls this is skipped by name with the
 * fix; with CI set it fails.
 *
 * @param lack what the reason begins with, the fix included
 */
export async function foundOrSkip(context: Context, lack: string, find: () => Promise<string>): Promise<string> {
  try {
    return await find();
  } catch (error) {
    if (process.env['CI']) throw error;
    return skipBecause(context, `${lack}. Tried: ${messageOf(error)}`);
  }
}

/** Told on the terminal: a download takes a while. */
export const report = (line: string): void => void process.stderr.write(`${line}\n`);

const messageOf = (error: unknown): string => (error instanceof Error ? error.message : String(error));
