import { type IncomingHttpHeaders, type IncomingMessage, request } from 'node:http';

import { eventually } from './eventually.ts';

export type SentEvent = Readonly<{ id: string | undefined; event: string; data: Readonly<Record<string, unknown>> }>;
export type StreamRequest = Readonly<{ token?: string; headers?: Record<string, string>; method?: string }>;

/** One request for server-sent events on a connection of its own, and what came of it so far. */
export class ReadStream {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly #res: IncomingMessage;
  #text = '';
  #over = false;

  constructor(res: IncomingMessage) {
    this.#res = res;
    this.status = res.statusCode ?? 0;
    this.headers = res.headers;
    res.setEncoding('utf8');
    res.on('data', (text: string) => (this.#text += text));
    res.on('error', () => (this.#over = true)); // cut off
    res.on('close', () => (this.#over = true));
  }

  get text(): string {
    return this.#text;
  }

  /** The events that came whole. */
  get events(): SentEvent[] {
    return this.#text
      .split('\n\n')
      .slice(0, -1)
      .filter((block) => block.includes('data: '))
      .map((block) => {
        const fields = new Map(block.split('\n').map((line) => line.split(/: (.*)/s, 2) as [string, string]));
        const data = JSON.parse(fields.get('data') ?? '') as SentEvent['data'];
        return { id: fields.get('id'), event: fields.get('event') ?? 'message', data };
      });
  }

  get ids(): number[] {
    return this.events.map(({ id }) => Number(id));
  }

  get over(): boolean {
    return this.#over;
  }

  /** Waits for so many events. */
  has = (count: number): Promise<SentEvent[]> =>
    eventually(`${count} events came: ${this.#text}`, () =>
      Promise.resolve(this.events.length >= count ? this.events : undefined),
    );

  /** Waits until the server has ended it. */
  ends = (): Promise<SentEvent[]> =>
    eventually('the stream has ended', () => Promise.resolve(this.#over ? this.events : undefined));

  /** Takes no more of what is sent, and stays connected. */
  stall(): void {
    this.#res.pause();
  }

  close(): void {
    this.#res.destroy();
  }
}

/** Asks for a stream; resolves when the headers are there. */
export function readStream(url: string, { token, headers, method = 'GET' }: StreamRequest = {}): Promise<ReadStream> {
  return new Promise((resolve, reject) => {
    const authorization = token === undefined ? {} : { authorization: `Bearer ${token}` };
    const req = request(url, { method, agent: false, headers: { ...authorization, ...headers } });
    req.on('error', reject);
    req.on('response', (res) => resolve(new ReadStream(res)));
    req.end();
  });
}
