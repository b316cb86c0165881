import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';

import { Client, Connection, WithStartWorkflowOperation, type WorkflowHandle } from '@temporalio/client';
import { TypedSearchAttributes } from '@temporalio/common';
import { NativeConnection, Worker } from '@temporalio/worker';

import { type CheckoutInput, type CheckoutResult, orderNumberOf, type PlacedAnswer } from '../../domain/checkout.ts';
import { checkoutWorkflowId } from '../../domain/workflow-ids.ts';
import type { checkout } from '../../workflows/checkout.ts';
import {
  cancelUpdate,
  CHECKOUT_WORKFLOW,
  placedUpdate,
  QUEUES,
  type Resolution,
  resolveUpdate,
  SEARCH_ATTRIBUTES,
  type StatusAnswer,
  statusQuery,
  type TimelineEntry,
  timelineQuery,
} from '../../workflows/contract.ts';
import { type Call, FakeServices, type Script, type StepName } from './fake-services.ts';
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

const POLL_MS = 25;
const OURS: ReadonlySet<string> = new Set(Object.values(SEARCH_ATTRIBUTES).map(({ name }) => name));
const ACTIVITIES_AT_ONCE = 20;

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

/** The workflow `checkout` on real workers of all four queues, whose services are fakes. Close it. */
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
      worker({ taskQueue: QUEUES.checkout, workflowBundle: await workflowBundle() }),
      worker({ taskQueue: QUEUES.inventory, activities: services.inventory }),
      worker({ taskQueue: QUEUES.orders, activities: services.orders }),
      worker({ taskQueue: QUEUES.payments, activities: services.payments }),
    ]);
    return new WorkflowBench(temporal, services, workers, release);
  }

  /** Starts a checkout as the API does: by update-with-start, answered when the workflow has seen the request hash. */
  async start(script: Script = {}): Promise<Run> {
    const orderId = randomUUID();
    this.#services.expect(orderId, script);
    const startWorkflowOperation = new WithStartWorkflowOperation<typeof checkout>(CHECKOUT_WORKFLOW, {
      taskQueue: QUEUES.checkout,
      workflowId: checkoutWorkflowId(orderId),
      workflowIdConflictPolicy: 'USE_EXISTING',
      workflowIdReusePolicy: 'REJECT_DUPLICATE',
      args: [cartOf(orderId)],
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

/** One checkout on the bench. */
export class Run {
  readonly orderId: string;
  readonly handle: WorkflowHandle<typeof checkout>;
  readonly #services: FakeServices;
  readonly #placed: () => Promise<PlacedAnswer>;

  constructor(
    orderId: string,
    handle: WorkflowHandle<typeof checkout>,
    services: FakeServices,
    placed: () => Promise<PlacedAnswer>,
  ) {
    this.orderId = orderId;
    this.handle = handle;
    this.#services = services;
    this.#placed = placed;
  }

  /** The answer of the update `placed` that started this checkout. */
  placed(): Promise<PlacedAnswer> {
    return this.#placed();
  }

  result(): Promise<CheckoutResult> {
    return this.handle.result();
  }

  status(): Promise<StatusAnswer> {
    return this.handle.query(statusQuery);
  }

  get calls(): readonly Call[] {
    return this.#services.callsOf(this.orderId).filter(({ step }) => step !== 'recordResolution');
  }

  /** Steps in the order in which they were first called; repeats of one step are one. */
  get steps(): StepName[] {
    return [...new Set(this.calls.map(({ step }) => step))];
  }

  /** The status after one that satisfies; the test's own time limit ends the wait. */
  async statusWhen(satisfies: (status: StatusAnswer) => boolean): Promise<StatusAnswer> {
    for (;;) {
      const status = await this.status();
      if (satisfies(status)) return status;
      await sleep(POLL_MS);
    }
  }

  /** Sends `cancel`, and returns its answer to come as soon as the workflow has accepted it. */
  async cancel(): Promise<Readonly<{ answer: () => Promise<'CANCELLED' | 'CANCELLING'> }>> {
    const update = await this.handle.startUpdate(cancelUpdate, { waitForStage: 'ACCEPTED' });
    return { answer: () => update.result() };
  }

  /** What operators decided, as the order's history was asked to keep it. */
  get resolutions(): unknown[] {
    return this.#services
      .callsOf(this.orderId)
      .flatMap(({ step, input }) => (step === 'recordResolution' ? [input] : []));
  }

  /** Ends the wait of what is parked. @returns the names of the steps */
  resolve(action: Resolution['action']): Promise<string[]> {
    return this.handle.executeUpdate(resolveUpdate, { args: [{ action, reason: 'looked at it', by: 'operator-7' }] });
  }

  timeline(): Promise<readonly TimelineEntry[]> {
    return this.handle.query(timelineQuery);
  }

  /** What happened, without the times. */
  async story(): Promise<string[]> {
    return (await this.timeline()).map(({ what }) => what);
  }

  /** Milliseconds of the workflow's clock between two things that happened to it. */
  async between(first: string, second: string): Promise<number> {
    const timeline = await this.timeline();
    const at = (wanted: string): number => {
      const entry = timeline.find(({ what }) => what === wanted);
      if (entry === undefined) throw new Error(`"${wanted}" is not in the timeline`);
      return Date.parse(entry.at);
    };
    return at(second) - at(first);
  }

  /** What operators filter by; a search attribute that was never set is left out. */
  async shown(): Promise<Readonly<Record<string, unknown>>> {
    const { typedSearchAttributes } = await this.handle.describe();
    const ours = typedSearchAttributes.getAll().filter(({ key }) => OURS.has(key.name));
    return Object.fromEntries(ours.map(({ key, value }) => [key.name, value]));
  }
}
