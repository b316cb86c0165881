import { upsertSearchAttributes } from '@temporalio/workflow';

import { orderNumberOf } from '../domain/checkout.ts';
import { Attention } from './attention.ts';
import { SEARCH_ATTRIBUTES, type StatusAnswer, type TimelineEntry, type WorkStatus } from './contract.ts';
import { handleParking, type Parkable } from './parking.ts';
import { Story } from './story.ts';

/** The state of a workflow that is no checkout but may need a person as well. */
export class Work implements Parkable {
  /** Null while it is not known which order it is about. */
  orderId: string | null;
  /** The registry code of the refusal that it ended with. */
  failureCode: string | null = null;
  readonly attention = new Attention((what) => this.#showAttention(what));
  readonly #story: Story;
  #status: WorkStatus = 'RUNNING';
  #wasParked = false;

  constructor(title: string, orderId: string | null) {
    this.#story = new Story(title);
    this.orderId = orderId;
  }

  get status(): StatusAnswer {
    const { orderId, failureCode } = this;
    const { parked } = this.attention;
    return {
      orderId,
      orderNumber: orderId === null ? null : orderNumberOf(orderId),
      status: parked.length > 0 ? 'NEEDS_ATTENTION' : this.#status,
      failureCode,
      parked,
    };
  }

  get timeline(): readonly TimelineEntry[] {
    return this.#story.timeline;
  }

  note(what: string): void {
    this.#story.note(what);
  }

  /** The last word to operators: it is not found among the parked any more. */
  finish(): void {
    this.#status = 'DONE';
    this.note('DONE');
    if (this.#wasParked) this.#upsertStatus();
  }

  #showAttention(what: string): void {
    this.#wasParked = true;
    this.note(what);
    this.#upsertStatus();
  }

  /** Nobody filters by the others: work that is never parked is not worth an event of its history. */
  #upsertStatus(): void {
    upsertSearchAttributes([{ key: SEARCH_ATTRIBUTES.checkoutStatus, value: this.status.status }]);
  }
}

/**
 * State first, then the handlers that read it. Before the workflow returns: `work.finish()`, then wait for
 * `allHandlersFinished` in a scope that nobody cancels.
 *
 * @param title heading of the details in Temporal Web: never personal data
 * @param orderId null while it is not known which order it is about
 */
export function openWork(title: string, orderId: string | null): Work {
  const work = new Work(title, orderId);
  handleParking(work);
  return work;
}
