import { setCurrentDetails } from '@temporalio/workflow';

import type { TimelineEntry } from './contract.ts';

/** Work that waits for days must not grow its details without end. */
const SHOWN_NOTES = 20;

/** What happened to one workflow, for operators: in its details and in the query `timeline`. */
export class Story {
  readonly #title: string;
  readonly #timeline: TimelineEntry[] = [];

  constructor(title: string) {
    this.#title = title;
  }

  get timeline(): readonly TimelineEntry[] {
    return this.#timeline;
  }

  /** Adds one line. Never personal data: details are not encrypted everywhere. */
  note(what: string): void {
    this.#timeline.push({ at: new Date().toISOString(), what });
    const lines = this.#timeline.slice(-SHOWN_NOTES).map((entry) => `- ${entry.at} **${entry.what}**`);
    setCurrentDetails([`### ${this.#title}`, ...lines].join('\n'));
  }
}
