import { type Config, ConfigError, readConfig } from '../infra/config.ts';
import { NothingIsRunning } from '../infra/endpoints.ts';
import { progressLine } from './audit/progress.ts';
import { CannotRun } from './run-workflow.ts';

/** How a command that runs a workflow tells what came of it. */
export type ToldRun<Result> = Readonly<{
  /** As `npm run` knows it, before the line of a failure. */
  command: string;
  json: boolean;
  run: (config: Config, say: (what: string) => void) => Promise<Result>;
  reportOf: (result: Result) => string;
  exitCodeOf: (result: Result) => number;
}>;

/** Runs it with its progress on the terminal, prints what came of it, and sets the exit code: 2 where it could not run. */
export async function tellRun<Result>({ command, json, run, reportOf, exitCodeOf }: ToldRun<Result>): Promise<void> {
  const progress = progressLine(process.stderr);
  try {
    const result = await run(readConfig(), progress.say);
    progress.clear();
    process.stdout.write(json ? `${JSON.stringify(result, null, 2)}\n` : `${reportOf(result)}\n`);
    process.exitCode = exitCodeOf(result);
  } catch (error) {
    progress.clear();
    const known = error instanceof CannotRun || error instanceof NothingIsRunning || error instanceof ConfigError;
    if (!known) throw error;
    process.stderr.write(`${command}: ${error.message}\n`);
    process.exitCode = 2;
  }
}
