import { fileURLToPath } from 'node:url';

import { bundleWorkflowCode, DefaultLogger, type WorkflowBundleWithSourceMap } from '@temporalio/worker';

/** The bundle's entry: what every worker runs. */
export const WORKFLOWS = fileURLToPath(new URL('../../workflows/index.ts', import.meta.url));

let bundled: Promise<WorkflowBundleWithSourceMap> | undefined;

/** Bundles a folder's workflows, without the bundler's progress in the report. */
export const bundle = (
  workflowsPath: string,
  logger = new DefaultLogger('ERROR'),
): Promise<WorkflowBundleWithSourceMap> => bundleWorkflowCode({ workflowsPath, logger });

/** The workflows of today, bundled once per mocha process. */
export const workflowBundle = (): Promise<WorkflowBundleWithSourceMap> => (bundled ??= bundle(WORKFLOWS));
