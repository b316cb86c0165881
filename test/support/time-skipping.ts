import { SearchAttributeType } from '@temporalio/common';
import proto from '@temporalio/proto';
import { TestWorkflowEnvironment } from '@temporalio/testing';
import type { Context } from 'mocha';

import { SEARCH_ATTRIBUTES } from '../../workflows/contract.ts';
import { foundOrSkip, report } from './found.ts';
import { quietRuntime } from './quiet-runtime.ts';
import { findTestServer, TEST_SERVER_FIX } from './test-server.ts';
import { WorkflowBench } from './workflow-bench.ts';

/**
 * A bench on a Temporal server whose clock jumps ahead while a workflow's result is awaited, so that minutes of retries
 * pass in milliseconds. Its clock is one for all: run one workflow at a time.
 *
 * Where there is no such server, the suite of the hook that calls this is skipped by name with the fix; with CI set it fails.
 */
export async function timeSkippingBench(context: Context): Promise<WorkflowBench> {
  const path = await serverOrSkip(context);
  quietRuntime();
  const server = { executable: { type: 'existing-path', path } } as const;
  const environment = await TestWorkflowEnvironment.createTimeSkipping({ server });
  try {
    await registerSearchAttributes(environment);
    return await WorkflowBench.on(environment, () => environment.teardown());
  } catch (error) {
    await environment.teardown();
    throw error;
  }
}

/** Not by `ensureSearchAttributes`: this server can add them, but it cannot list them (UNIMPLEMENTED). */
async function registerSearchAttributes({ connection, namespace }: TestWorkflowEnvironment): Promise<void> {
  const { INDEXED_VALUE_TYPE_INT, INDEXED_VALUE_TYPE_KEYWORD } = proto.temporal.api.enums.v1.IndexedValueType;
  const types = Object.values(SEARCH_ATTRIBUTES).map(({ name, type }) => [
    name,
    type === SearchAttributeType.INT ? INDEXED_VALUE_TYPE_INT : INDEXED_VALUE_TYPE_KEYWORD,
  ]);
  await connection.operatorService.addSearchAttributes({
    namespace: namespace ?? 'default',
    searchAttributes: Object.fromEntries(types) as Record<string, number>,
  });
}

const serverOrSkip = (context: Context): Promise<string> =>
  foundOrSkip(context, `no time-skipping Temporal server: ${TEST_SERVER_FIX}`, () =>
    findTestServer({ path: process.env['TEMPORAL_TEST_SERVER_PATH'] || undefined, report }),
  );
