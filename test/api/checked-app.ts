import type { IncomingMessage, RequestListener, ServerResponse } from 'node:http';

import { apiCheck, undocumented } from '../support/documented.ts';

/** No status of HTTP: whatever a test expects, it is not this. */
const NOT_AS_DOCUMENTED = 599;

type Check = typeof apiCheck;
type Chunk = string | Uint8Array;

/**
 * The same app with every answer compared with the OpenAPI document before it leaves. One that differs is replaced by
 * 599 with the reason, so that whichever test asked fails. Of a stream only what stands before its body is looked at.
 *
 * @param tell is told the reason as well, for tests that would take any answer
 */
export function checkedApp(
  app: RequestListener,
  tell: (wrong: string) => void,
  check: Check = apiCheck,
): RequestListener {
  return (req, res) => {
    hold(req, res, tell, check);
    app(req, res);
  };
}

function hold(req: IncomingMessage, res: ServerResponse, tell: (wrong: string) => void, check: Check): void {
  const { method = '', url: path = '' } = req; // Express changes `url` on its way
  const chunks: Buffer[] = [];
  const write = res.write.bind(res) as (chunk: Chunk) => boolean;
  const end = res.end.bind(res) as (chunk?: Chunk) => ServerResponse;
  const keep = (chunk: unknown, encoding: unknown): void => {
    if (typeof chunk === 'string') chunks.push(Buffer.from(chunk, (encoding as BufferEncoding | undefined) ?? 'utf8'));
    else if (chunk instanceof Uint8Array) chunks.push(Buffer.from(chunk));
  };
  const wrongWith = (body: string): string | undefined => {
    const headers = Object.fromEntries(Object.entries(res.getHeaders()).map(([name, value]) => [name, String(value)]));
    const answer = { method, path, status: res.statusCode, headers, body };
    const wrong = check(answer);
    if (wrong === undefined) return undefined;
    const said = undocumented(answer, wrong);
    tell(said);
    return said;
  };
  const replace = (said: string): ServerResponse => {
    for (const name of res.getHeaderNames()) res.removeHeader(name);
    res.statusCode = NOT_AS_DOCUMENTED;
    res.setHeader('Content-Type', 'text/plain');
    return end(said);
  };
  const isStream = (): boolean => String(res.getHeader('content-type')).startsWith('text/event-stream');

  const flushHeaders = res.flushHeaders.bind(res);
  res.flushHeaders = () => {
    const wrong = wrongWith('');
    if (wrong !== undefined) replace(wrong);
    else flushHeaders();
  };
  res.write = ((chunk: unknown, encoding: unknown, done: unknown) => {
    if (res.headersSent) return write(chunk as Chunk);
    if (isStream()) {
      res.flushHeaders();
      return res.writableEnded || write(chunk as Chunk);
    }
    keep(chunk, encoding);
    const callback = typeof encoding === 'function' ? encoding : done;
    if (typeof callback === 'function') process.nextTick(callback);
    return true;
  }) as ServerResponse['write'];
  res.end = ((chunk: unknown, encoding: unknown, done: unknown) => {
    const callback = [chunk, encoding, done].find((one) => typeof one === 'function');
    if (callback !== undefined) res.once('finish', callback as () => void);
    const last = typeof chunk === 'function' ? undefined : (chunk as Chunk | undefined);
    if (res.headersSent || res.writableEnded) return end(last);
    keep(last, encoding);
    const body = Buffer.concat(chunks);
    const wrong = wrongWith(isStream() ? '' : body.toString('utf8'));
    if (wrong !== undefined) return replace(wrong);
    return body.length === 0 ? end() : end(body);
  }) as ServerResponse['end'];
}
