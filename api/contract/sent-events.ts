/** One server-sent event. `id`: its own, or that of the last one before it that had one. */
export type SentEvent = Readonly<{ event: string; id: string; data: string }>;

/** Reads `text/event-stream` as it comes, in pieces of any size (HTML, 9.2.6). An event that was cut off is dropped. */
export class EventParser {
  readonly #decoder = new TextDecoder();
  #rest = '';
  #id: string;
  #event = '';
  #data: string[] = [];
  /** How long to wait before coming back, milliseconds, once the server has said so. */
  retryMs: number | undefined;

  constructor(lastId: string) {
    this.#id = lastId;
  }

  /** The events that end with this piece. */
  *read(piece: Uint8Array): Generator<SentEvent, void, undefined> {
    // A line break of two characters may come in two pieces.
    const lines = (this.#rest + this.#decoder.decode(piece, { stream: true })).split(/\r\n|\n|\r(?!$)/);
    this.#rest = lines.pop() ?? '';
    for (const line of lines) {
      if (line !== '') this.#field(line);
      else if (this.#data.length > 0) yield this.#finish();
      else this.#event = '';
    }
  }

  #field(line: string): void {
    const [, name, value = ''] = /^([^:]*)(?:: ?(.*))?$/s.exec(line) ?? [];
    if (name === 'event') this.#event = value;
    else if (name === 'data') this.#data.push(value);
    else if (name === 'id' && !value.includes('\0')) this.#id = value;
    else if (name === 'retry' && /^\d{1,9}$/.test(value)) this.retryMs = Number(value);
  }

  #finish(): SentEvent {
    const finished = { event: this.#event === '' ? 'message' : this.#event, id: this.#id, data: this.#data.join('\n') };
    this.#event = '';
    this.#data = [];
    return finished;
  }
}
