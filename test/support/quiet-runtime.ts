import { IllegalStateError } from '@temporalio/common';
import { DefaultLogger, makeTelemetryFilterString, Runtime } from '@temporalio/worker';

let asked = false;

/** Keeps the failures that tests play on purpose out of the report: from now on workers log only errors. */
export function quietRuntime(): void {
  if (asked) return;
  asked = true;
  try {
    const filter = makeTelemetryFilterString({ core: 'ERROR' });
    Runtime.install({ logger: new DefaultLogger('ERROR'), telemetryOptions: { logging: { filter } } });
  } catch (error) {
    // Another suite of this process came first: its level stays, which costs nothing but lines.
    if (!(error instanceof IllegalStateError)) throw error;
  }
}
