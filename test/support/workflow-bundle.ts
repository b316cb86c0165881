import { fileURLToPath } from 'node:url';

import { bundleWorkflowCode, DefaultLogger, type WorkflowBundleWithSourceMap } from '@temporalio/worker';

/** The bundle's entry: what every worker runs. */
export const WORKFLOWS = fileURLToPath(new URL('../../workflows/index.ts', import.meta.url));

const INTERCEPTORS = fileURLToPath(new URL('../../workflows/tracing.ts', import.meta.url));

let bundled: Promise<WorkflowBundleWithSourceMap> | undefined;

/** Bundles a folder's workflows as workers run them, without the bundler's progress in the report. */
export const bundle = (
  workflowsPath: string,
  logger = new DefaultLogger('ERROR'),
): Promise<WorkflowBundleWithSourceMap> =>
  bundleWorkflowCode({ workflowsPath, workflowInterceptorModules: [INTERCEPTORS], logger });

/** The workflows of today, bundled once per mocha process. */
export const workflowBundle = (): Promise<WorkflowBundleWithSourceMap> => (bundled ??= bundle(WORKFLOWS));
