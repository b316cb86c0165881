/**
 * One line of `npm run doctor`.
 * `blocks`: `npm start` cannot work until it is repaired. `notice`: something is not as usual, and that is all right.
 */
export type Check = Readonly<{
  name: string;
  status: 'ok' | 'notice' | 'problem' | 'blocks';
  detail: string;
  /** How to repair it, as a command or a setting; present on every problem. */
  fix?: string;
}>;

export const ok = (name: string, detail: string): Check => ({ name, status: 'ok', detail });
export const notice = (name: string, detail: string): Check => ({ name, status: 'notice', detail });
export const problem = (name: string, detail: string, fix: string): Check => ({ name, status: 'problem', detail, fix });
export const blocks = (name: string, detail: string, fix: string): Check => ({ name, status: 'blocks', detail, fix });

/** Longest time for one check, milliseconds: a doctor who hangs helps nobody. */
const LIMIT_MS = 15_000;

/** Runs a check; one that throws or takes too long is a problem of the part it looks at, made by `bad`. */
export async function examine(
  name: string,
  check: () => Promise<Check>,
  fix: string,
  bad: typeof problem = problem,
): Promise<Check> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<Check>((resolve) => {
    timer = setTimeout(() => resolve(bad(name, `no answer in ${LIMIT_MS / 1000} s`, fix)), LIMIT_MS);
  });
  try {
    return await Promise.race([check(), late]);
  } catch (error) {
    return bad(name, error instanceof Error ? error.message : String(error), fix);
  } finally {
    clearTimeout(timer);
  }
}
