import { setTimeout as sleep } from 'node:timers/promises';

import type { WorkflowHandle } from '@temporalio/client';
import type { Workflow, WorkflowResultType } from '@temporalio/common';

import type { PlacedAnswer } from '../../domain/checkout.ts';
import type { checkout } from '../../workflows/checkout.ts';
import {
  cancelUpdate,
  paymentChangedSignal,
  type Resolution,
  resolveUpdate,
  SEARCH_ATTRIBUTES,
  type StatusAnswer,
  statusQuery,
  type TimelineEntry,
  timelineQuery,
} from '../../workflows/contract.ts';
import type { Call, FakeServices, StepName } from './fake-services.ts';

const POLL_MS = 25;
const OURS: ReadonlySet<string> = new Set(Object.values(SEARCH_ATTRIBUTES).map(({ name }) => name));

/** One workflow on the bench that may be parked. */
export class WorkRun<T extends Workflow> {
  readonly orderId: string;
  readonly handle: WorkflowHandle<T>;
  readonly #services: FakeServices;

  constructor(orderId: string, handle: WorkflowHandle<T>, services: FakeServices) {
    this.orderId = orderId;
    this.handle = handle;
    this.#services = services;
  }

  result(): Promise<WorkflowResultType<T>> {
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

/** One checkout on the bench. */
export class Run extends WorkRun<typeof checkout> {
  readonly #placed: () => Promise<PlacedAnswer>;

  constructor(
    orderId: string,
    handle: WorkflowHandle<typeof checkout>,
    services: FakeServices,
    placed: () => Promise<PlacedAnswer>,
  ) {
    super(orderId, handle, services);
    this.#placed = placed;
  }

  /** The answer of the update `placed` that started this checkout. */
  placed(): Promise<PlacedAnswer> {
    return this.#placed();
  }

  /** Sends `cancel`, and returns its answer to come as soon as the workflow has accepted it. */
  async cancel(): Promise<Readonly<{ answer: () => Promise<'CANCELLED' | 'CANCELLING'> }>> {
    const update = await this.handle.startUpdate(cancelUpdate, { waitForStage: 'ACCEPTED' });
    return { answer: () => update.result() };
  }

  /** Tells it that something became of its payment. */
  paymentChanged(): Promise<void> {
    return this.handle.signal(paymentChangedSignal);
  }
}
