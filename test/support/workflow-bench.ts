import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';

import { Client, Connection, WithStartWorkflowOperation } from '@temporalio/client';
import { TypedSearchAttributes, type Workflow } from '@temporalio/common';
import { NativeConnection, Worker } from '@temporalio/worker';

import { sagaActivities } from '../../activities/sagas/activities.ts';
import { type CheckoutInput, orderNumberOf } from '../../domain/checkout.ts';
import { checkoutWorkflowId } from '../../domain/workflow-ids.ts';
import { isRunning } from '../../infra/running-workflows.ts';
import type { checkout } from '../../workflows/checkout.ts';
import { CHECKOUT_WORKFLOW, placedUpdate, QUEUES, SEARCH_ATTRIBUTES } from '../../workflows/contract.ts';
import { Run, WorkRun } from './bench-run.ts';
import { type Call, FakeServices, type Script } from './fake-services.ts';
import { quietRuntime } from './quiet-runtime.ts';
import { temporalServer } from './servers.ts';
import { workflowBundle } from './workflow-bundle.ts';

/** A Temporal to run workflows on: the dev server's, or a TestWorkflowEnvironment with its clock that jumps. */
export type Temporal = Readonly<{
  client: Client;
  nativeConnection: NativeConnection;
  namespace?: string;
  /** Waits by the server's clock, milliseconds. */
  sleep: (ms: number) => Promise<void>;
}>;

const ACTIVITIES_AT_ONCE = 20;

/** A workflow of which only the name is known here. */
type Untyped = (...args: unknown[]) => Promise<unknown>;

/** Hash of every test's request. */
export const REQUEST_HASH = 'a'.repeat(64);

/** A cart of two lines, of 3 units together. */
export const cartOf = (orderId: string): CheckoutInput => ({
  orderId,
  customerId: '5d9f7a10-0d57-4c52-8f0f-6a3fb2a6e0aa',
  requestHash: REQUEST_HASH,
  lines: [
    { lineNo: 1, productId: '1', variantId: null, quantity: 2, locationCode: 'MAIN' },
    { lineNo: 2, productId: '2', variantId: null, quantity: 1, locationCode: 'MAIN' },
  ],
  payment: { method: 'card', token: 'tok_visa' },
  expectedTotal: null,
  startDeadline: '2027-01-01T00:00:00.000Z',
});

/** The workflows on real workers of all queues, whose services are fakes. Close it. */
export class WorkflowBench {
  readonly #services: FakeServices;
  readonly #temporal: Temporal;
  readonly #workers: readonly Worker[];
  readonly #running: Promise<unknown>;
  readonly #release: () => Promise<void>;

  private constructor(temporal: Temporal, services: FakeServices, workers: Worker[], release: () => Promise<void>) {
    this.#temporal = temporal;
    this.#services = services;
    this.#workers = workers;
    this.#release = release;
    this.#running = Promise.all(workers.map((worker) => worker.run()));
  }

  /** On the real development server of this mocha process. */
  static async onDevServer(): Promise<WorkflowBench> {
    quietRuntime();
    const { address } = await temporalServer();
    const connection = await Connection.connect({ address });
    const nativeConnection = await NativeConnection.connect({ address });
    const temporal = { client: new Client({ connection }), nativeConnection, sleep };
    return WorkflowBench.on(temporal, async () => {
      await connection.close();
      await nativeConnection.close();
    });
  }

  static async on(temporal: Temporal, release: () => Promise<void> = async () => {}): Promise<WorkflowBench> {
    quietRuntime();
    const services = new FakeServices();
    const worker = (
      options: Pick<Parameters<typeof Worker.create>[0], 'taskQueue' | 'activities' | 'workflowBundle'>,
    ) =>
      Worker.create({
        connection: temporal.nativeConnection,
        namespace: temporal.namespace ?? 'default',
        maxConcurrentActivityTaskExecutions: ACTIVITIES_AT_ONCE,
        ...options,
      });
    const workers = await Promise.all([
      worker({
        taskQueue: QUEUES.checkout,
        workflowBundle: await workflowBundle(),
        activities: sagaActivities({ isRunning: (workflowId) => isRunning(temporal.client, workflowId) }),
      }),
      worker({ taskQueue: QUEUES.inventory, activities: services.inventory }),
      worker({ taskQueue: QUEUES.orders, activities: services.orders }),
      worker({ taskQueue: QUEUES.payments, activities: services.payments }),
      worker({ taskQueue: QUEUES.views, activities: services.views }),
    ]);
    return new WorkflowBench(temporal, services, workers, release);
  }

  /** Starts a checkout as the API does: by update-with-start, answered when the workflow has seen the request hash. */
  async start(script: Script = {}, cart: Partial<CheckoutInput> = {}): Promise<Run> {
    const orderId = randomUUID();
    this.#services.expect(orderId, script);
    const startWorkflowOperation = new WithStartWorkflowOperation<typeof checkout>(CHECKOUT_WORKFLOW, {
      taskQueue: QUEUES.checkout,
      workflowId: checkoutWorkflowId(orderId),
      workflowIdConflictPolicy: 'USE_EXISTING',
      workflowIdReusePolicy: 'REJECT_DUPLICATE',
      args: [{ ...cartOf(orderId), ...cart }],
      staticSummary: orderNumberOf(orderId),
      typedSearchAttributes: new TypedSearchAttributes([{ key: SEARCH_ATTRIBUTES.checkoutStatus, value: 'RESERVING' }]),
    });
    const { workflow } = this.#temporal.client;
    const placed = await workflow.startUpdateWithStart(placedUpdate, {
      updateId: `placed:${REQUEST_HASH}`,
      args: [REQUEST_HASH],
      waitForStage: 'ACCEPTED',
      startWorkflowOperation,
    });
    return new Run(orderId, workflow.getHandle<typeof checkout>(checkoutWorkflowId(orderId)), this.#services, () =>
      placed.result(),
    );
  }

  /**
   * Starts another workflow than a checkout.
   *
   * @param about ids by which its steps are known where they do not name the order, such as an event's or a refund's
   */
  async startWork<T extends Workflow>(
    type: string,
    workflowId: string,
    args: Parameters<T>,
    {
      orderId = randomUUID(),
      about = [],
      script = {},
    }: Readonly<{ orderId?: string; about?: string[]; script?: Script }>,
  ): Promise<WorkRun<T>> {
    this.#services.expect(orderId, script, about);
    const { workflow } = this.#temporal.client;
    await workflow.start<Untyped>(type, { taskQueue: QUEUES.checkout, workflowId, args: args as unknown[] });
    return new WorkRun(orderId, workflow.getHandle<T>(workflowId), this.#services);
  }

  /** What the services do about these ids, for workflows that somebody else starts. @returns their calls so far */
  expect(script: Script, about: readonly string[]): () => readonly Call[] {
    const orderId = randomUUID();
    this.#services.expect(orderId, script, about);
    return () => this.#services.callsOf(orderId);
  }

  /** Waits by the server's clock, milliseconds. */
  sleep(ms: number): Promise<void> {
    return this.#temporal.sleep(ms);
  }

  async close(): Promise<void> {
    for (const worker of this.#workers) worker.shutdown();
    await this.#running;
    await this.#release();
  }
}
