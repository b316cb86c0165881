import { TestWorkflowEnvironment } from '@temporalio/testing';
import type { Context } from 'mocha';
import { pino } from 'pino';

import { ensureSearchAttributes } from '../../infra/temporal.ts';
import { SEARCH_ATTRIBUTES } from '../../workflows/contract.ts';
import { skipBecause } from './skip.ts';
import { findTestServer, TEST_SERVER_FIX } from './test-server.ts';

/**
 * A Temporal server whose clock jumps ahead while a workflow's result is awaited, so that minutes of retries pass in
 * milliseconds. Its clock is one for all: run one workflow at a time. Close it with `teardown`.
 *
 * Where there is no such server, the suite of the hook that calls this is skipped by name with the fix; with CI set it fails.
 */
export async function timeSkipping(context: Context): Promise<TestWorkflowEnvironment> {
  const path = await serverOrSkip(context);
  const server = { executable: { type: 'existing-path', path } } as const;
  const environment = await TestWorkflowEnvironment.createTimeSkipping({ server });
  const { connection } = environment;
  const namespace = environment.namespace ?? 'default';
  const registered = await ensureSearchAttributes(
    { connection, namespace },
    Object.values(SEARCH_ATTRIBUTES),
    pino({ level: 'error' }, process.stderr),
  );
  if (registered) return environment;
  await environment.teardown();
  throw new Error('the time-skipping server does not take our search attributes');
}

async function serverOrSkip(context: Context): Promise<string> {
  try {
    const path = process.env['TEMPORAL_TEST_SERVER_PATH'] || undefined;
    return await findTestServer({ path, report: (line) => process.stderr.write(`${line}\n`) });
  } catch (error) {
    if (process.env['CI']) throw error;
    const reason = error instanceof Error ? error.message : String(error);
    return skipBecause(context, `no time-skipping Temporal server: ${TEST_SERVER_FIX}. Tried: ${reason}`);
  }
}
