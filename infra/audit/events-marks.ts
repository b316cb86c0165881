import type { EventService } from './snapshot.ts';

/** Bits of one block: outboxes number their rows from 1 on, with few gaps. */
const BLOCK_BITS = 65_536;

/** Marks events by their place in the outbox of their service: a bit for each, so that millions cost little memory. */
export class EventMarks {
  readonly #blocks = new Map<string, Uint8Array>();

  /** @returns false when it was marked before */
  add(service: EventService, place: number): boolean {
    const key = blockOf(service, place);
    let block = this.#blocks.get(key);
    if (block === undefined) this.#blocks.set(key, (block = new Uint8Array(BLOCK_BITS / 8)));
    const [byte, bit] = placeIn(place);
    const before = block[byte] ?? 0;
    block[byte] = before | bit;
    return (before & bit) === 0;
  }

  has(service: EventService, place: number): boolean {
    const [byte, bit] = placeIn(place);
    return ((this.#blocks.get(blockOf(service, place))?.[byte] ?? 0) & bit) !== 0;
  }
}

const blockOf = (service: EventService, place: number): string => `${service} ${Math.floor(place / BLOCK_BITS)}`;

const placeIn = (place: number): [number, number] => [(place % BLOCK_BITS) >> 3, 1 << (place & 7)];
