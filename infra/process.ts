import { type Config, ConfigError, readConfig } from './config.ts';
import { type Logger, openLog } from './log.ts';
import { scrubbed } from './redact.ts';
import { openTracing, type Tracing } from './tracing.ts';

/** A started process part: where it is reached, and how it is drained. */
export type Running = Readonly<{ url?: string; close: () => Promise<void> }>;

/** What a child tells the supervisor over IPC once it serves. */
export type ReadyMessage = Readonly<{ ready: true; url?: string }>;

/** Time that a clean end may take beyond the work in flight, milliseconds. */
const EXIT_MARGIN_MS = 10_000;

/**
 * Runs a process to its end: reads the configuration, starts, serves until it is asked to stop, drains, exits.
 * SIGTERM, and SIGINT at a terminal, ask it to stop; so does the loss of the supervisor, which leaves no orphans.
 * Under a supervisor SIGINT and SIGHUP are left to it: Ctrl-C and a closed terminal reach the whole group, and the
 * drain has an order. For the same reason nothing cuts a drain short there that has begun, neither a second SIGTERM
 * (a service manager signals the whole group) nor the end of the supervisor: a charge may be in flight.
 * Exit codes: 0 after a clean stop, 1 when it could not start or drain, 130 when asked twice without a supervisor.
 */
export async function runProcess(
  name: string,
  start: (config: Config, log: Logger) => Promise<Running>,
): Promise<void> {
  const config = configOrExit();
  const log = openLog(config, name);
  process.on('uncaughtException', (error) => crash(error, log)); // of promises, too
  const tracing = openTracing(config, name, log);
  const supervised = process.send !== undefined;
  let running: Running | undefined;
  let stopping = false;

  const stop = (reason: string): void => {
    if (stopping && supervised) return; // the limit below, or the supervisor's SIGKILL, ends what does not drain
    if (stopping) process.exit(130);
    stopping = true;
    log.info({ reason }, 'stopping');
    const limit = setTimeout(() => {
      log.error('did not drain in time');
      process.exit(1);
    }, config.shutdownGraceMs + EXIT_MARGIN_MS);
    limit.unref();
    void drain(running, tracing, log).then((code) => process.exit(code));
  };
  process.on('SIGTERM', () => stop('SIGTERM'));
  for (const signal of ['SIGINT', 'SIGHUP'] as const) {
    process.on(signal, () => {
      if (!supervised) stop(signal);
    });
  }
  process.on('disconnect', () => stop('supervisor is gone'));
  if (supervised && !process.connected) stop('supervisor is gone'); // while our modules were loading

  try {
    running = await start(config, log);
  } catch (error) {
    // A missing setting needs no stack: its message says what to set.
    if (!(error instanceof ConfigError)) log.fatal({ err: error }, 'could not start');
    process.stderr.write(`${name}: ${scrubbed(error instanceof Error ? error.message : String(error))}\n`);
    process.exit(1);
  }
  log.info({ url: running.url }, 'ready');
  announceReady(running.url);
}

/** Ends the process with one line, not a stack, when the environment cannot be used. */
export function configOrExit(): Config {
  try {
    return readConfig();
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    process.stderr.write(`${error.message}\n`);
    process.exit(1);
  }
}

function announceReady(url: string | undefined): void {
  const message: ReadyMessage = url === undefined ? { ready: true } : { ready: true, url };
  process.send?.(message);
}

/** What nobody caught. Node would show it with all that hangs on it, such as the row that a statement failed at. */
function crash(error: unknown, log: Logger): never {
  log.fatal({ err: error }, 'crashed');
  process.exit(1);
}

async function drain(running: Running | undefined, tracing: Tracing, log: Logger): Promise<number> {
  try {
    await running?.close();
    await tracing.close();
    return 0;
  } catch (error) {
    log.error({ err: error }, 'could not drain');
    return 1;
  }
}
