import { existsSync } from 'node:fs';
import { dirname, extname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

import { Client } from '@temporalio/client';
import type { DataConverter } from '@temporalio/common';
import { type NativeConnection, Worker, type WorkerOptions } from '@temporalio/worker';

import type { Config } from '../infra/config.ts';
import type { Logger } from '../infra/log.ts';
import { tracedClient } from '../infra/temporal-tracing.ts';
import { activityTracing, workflowSpans } from './tracing.ts';

/** What every worker of a process shares. */
export type WorkerContext = Readonly<{
  config: Config;
  connection: NativeConnection;
  namespace: string;
  /** How payloads are kept. */
  dataConverter: DataConverter;
  log: Logger;
}>;

/** Starts and asks about workflows, through the connection that the workers have anyway. */
export const clientOf = ({
  connection,
  namespace,
  dataConverter,
}: Pick<WorkerContext, 'connection' | 'namespace' | 'dataConverter'>): Client =>
  new Client({ connection, namespace, dataConverter, interceptors: { workflow: [tracedClient] } });

/** A worker and what it must close when its last task has ended. */
export type OpenWorker = Readonly<{ worker: Worker; close: () => Promise<void> }>;

/** Activities at once per connection of the database pool: each waits for the gateway or a lock most of its time. */
const ACTIVITIES_PER_CONNECTION = 2;

/** A worker for one task queue. Its grace is longer than the longest activity, so that a charge in flight can finish. */
export function createWorker(
  { config, connection, namespace, dataConverter }: WorkerContext,
  options: Pick<WorkerOptions, 'taskQueue' | 'activities' | 'workflowBundle' | 'workflowsPath'>,
): Promise<Worker> {
  return Worker.create({
    connection,
    namespace,
    dataConverter,
    shutdownGraceTime: config.shutdownGraceMs,
    maxConcurrentActivityTaskExecutions: config.databasePoolSize * ACTIVITIES_PER_CONNECTION,
    interceptors: { activity: [activityTracing], ...interceptorModules(options) },
    sinks: workflowSpans(),
    ...options,
  });
}

/** Of workflows that are bundled now; the bundle of `npm run build` holds them. */
export function interceptorModules({ workflowsPath }: Pick<WorkerOptions, 'workflowsPath'>) {
  if (workflowsPath === undefined) return {};
  return { workflowModules: [join(dirname(workflowsPath), `tracing${extname(workflowsPath)}`)] };
}

/** The bundle that `npm run build` made, where there is one; else the workflows are bundled now, from their source. */
export function workflowCode(): Pick<WorkerOptions, 'workflowBundle' | 'workflowsPath'> {
  const bundle = fileURLToPath(new URL('../workflow-bundle.js', import.meta.url));
  if (existsSync(bundle)) return { workflowBundle: { codePath: bundle } };
  const extension = import.meta.url.endsWith('.ts') ? 'ts' : 'js';
  return { workflowsPath: fileURLToPath(new URL(`../workflows/index.${extension}`, import.meta.url)) };
}
