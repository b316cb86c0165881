import assert from 'node:assert/strict';
import { once } from 'node:events';
import type { Server } from 'node:http';
import { connect, type Socket } from 'node:net';
import { gzipSync } from 'node:zlib';

import express from 'express';
import { pino } from 'pino';

import { jsonBody } from '../../api/body.ts';
import { createListener, drain, listen, type ListenerLimits, urlOf } from '../../api/listener.ts';
import { problems } from '../../api/problem.ts';
import { requestLog } from '../../api/request-log.ts';
import { eventually } from '../support/eventually.ts';

const QUICK: ListenerLimits = {
  ...{ headersMs: 400, requestMs: 800, takingMs: 500, lingerMs: 200, idleMs: 5_000, checkEveryMs: 50 },
  connections: 20,
};
/** More than the kernel takes for a reader that does not read. */
const LARGE = Buffer.alloc(64 * 1_024 * 1_024, 'x');
const log = pino({ level: 'silent' });

/** What a client that speaks for itself was sent, and whether its connection is over. */
type Line = Readonly<{ socket: Socket; text: () => string; ended: Promise<unknown> }>;

describe('clients that are slow or send nonsense', function () {
  this.timeout(20_000);
  const stopping = new AbortController();
  let server: Server;
  let port: number;
  /** Bytes of bodies that were read, and answers that are under way. */
  let read = 0;
  let underWay = 0;

  before(async () => {
    const app = express().use(requestLog(log));
    app.use((_req, res, next) => {
      underWay += 1;
      res.once('close', () => (underWay -= 1));
      next();
    });
    app.post('/body', ...jsonBody, (req, res) => {
      read += JSON.stringify(req.body).length;
      res.json({});
    });
    app.get('/large', (_req, res) => void res.end(LARGE));
    app.get('/waiting', () => undefined); // it is answered when its client is gone: never
    app.get('/', (_req, res) => void res.json({}));
    app.use(problems(log));
    server = createListener(app, { limits: QUICK, stopping: stopping.signal, log });
    await listen(server, 0, '127.0.0.1');
    port = Number(new URL(urlOf(server)).port);
  });
  after(() => drain(server, 0));
  afterEach(async () => {
    const { status } = await fetch(urlOf(server));
    assert.equal(status, 200, 'it does not answer any more');
    await eventually('no answer is under way', () => Promise.resolve(underWay === 0 ? true : undefined), 5_000);
  });

  const dial = async (said = ''): Promise<Line> => {
    const socket = connect(port, '127.0.0.1');
    let text = '';
    socket.on('data', (chunk) => (text += chunk.toString('latin1')));
    socket.on('error', () => undefined); // being cut off may arrive as a reset
    const ended = new Promise((resolve) => socket.once('close', resolve));
    await once(socket, 'connect');
    socket.write(said);
    return { socket, text: () => text, ended };
  };
  /** The status and the problem of an answer that is the last of its connection. */
  const problemIn = (text: string): readonly [number, string] => {
    const [head = '', body = ''] = text.split('\r\n\r\n', 2);
    assert.match(head, /^content-type: application\/problem\+json/im);
    assert.match(head, /^connection: close$/im);
    assert.match(head, /^x-request-id: [\w-]+$/im);
    assert.match(head, new RegExp(`^content-length: ${Buffer.byteLength(body)}$`, 'im'));
    const { status, code } = JSON.parse(body) as { status: number; code: string };
    assert.match(head, new RegExp(`^HTTP/1.1 ${status} `));
    return [status, code];
  };
  const answered = async (said: string): Promise<readonly [number, string]> => {
    const line = await dial(said);
    await line.ended;
    return problemIn(line.text());
  };

  it('are cut off when their headers do not end, however steadily they come', async () => {
    const { socket, text, ended } = await dial('GET / HTTP/1.1\r\nHost: shop\r\n');
    const dripping = setInterval(() => socket.write('X-A: b\r\n'), 20);
    await ended;
    clearInterval(dripping);
    assert.deepEqual(problemIn(text()), [408, 'REQUEST_TIMEOUT']);
  });

  it('are cut off when their body does not end, however steadily it comes', async () => {
    const head = 'POST /body HTTP/1.1\r\nHost: shop\r\nContent-Type: application/json\r\nContent-Length: 60000\r\n\r\n';
    const { socket, text, ended } = await dial(head);
    const dripping = setInterval(() => socket.write(' '), 20);
    await ended;
    clearInterval(dripping);
    assert.deepEqual(problemIn(text()), [408, 'REQUEST_TIMEOUT']);
    assert.equal(read, 0);
  });

  it('are cut off when they say nothing at all', async () => {
    await (
      await dial()
    ).ended;
    await (
      await dial('\r\n\r\n')
    ).ended;
  });

  it('are cut off when they do not take their answer', async () => {
    const { socket, ended } = await dial('GET /large HTTP/1.1\r\nHost: shop\r\n\r\n');
    socket.pause();
    await eventually('the answer is under way', () => Promise.resolve(underWay === 1 ? true : undefined));
    await eventually('the answer is given up', () => Promise.resolve(underWay === 0 ? true : undefined), 10_000);
    socket.resume();
    await ended;
    assert.ok(socket.bytesRead < LARGE.length);
  });

  it('are not cut off while others take their answer at once', async () => {
    const body = await (await fetch(new URL('/large', urlOf(server)))).arrayBuffer();
    assert.equal(body.byteLength, LARGE.length);
  });

  it('are told what was wrong: no HTTP, headers that are too long, a version or a length that is none', async () => {
    assert.deepEqual(await answered('hello\r\n\r\n'), [400, 'MALFORMED_REQUEST']);
    assert.deepEqual(
      await answered('\u0016\u0003\u0001\u0002'),
      [400, 'MALFORMED_REQUEST'],
      'TLS where none is spoken',
    );
    assert.deepEqual(await answered('GET / HTTP/9.9\r\nHost: shop\r\n\r\n'), [400, 'MALFORMED_REQUEST']);
    assert.deepEqual(await answered('GET / HTTP/1.1\r\nHost: shop\r\nA\u0000b: c\r\n\r\n'), [400, 'MALFORMED_REQUEST']);
    for (const framing of [
      'Content-Length: -1',
      'Content-Length: 1\r\nContent-Length: 2',
      'Content-Length: 5\r\nTransfer-Encoding: chunked',
      'Transfer-Encoding: chunked, identity',
    ]) {
      const said = `POST /body HTTP/1.1\r\nHost: shop\r\n${framing}\r\n\r\n{}`;
      assert.deepEqual(await answered(said), [400, 'MALFORMED_REQUEST'], framing);
    }
    const long = `GET / HTTP/1.1\r\nHost: shop\r\nX-Long: ${'x'.repeat(20_000)}\r\n\r\n`;
    assert.deepEqual(await answered(long), [431, 'HEADERS_TOO_LARGE']);
    assert.deepEqual(await answered(`GET /${'x'.repeat(20_000)} HTTP/1.1\r\n\r\n`), [431, 'HEADERS_TOO_LARGE']);
  });

  it('get no second answer into a first one that is under way', async () => {
    const { text, ended } = await dial('GET /large HTTP/1.1\r\nHost: shop\r\n\r\nnonsense\r\n\r\n');
    await ended;
    assert.equal(text().match(/HTTP\/1\.1 /g)?.length, 1);
  });

  it('get no answer to a request that is being looked at which is about what they sent behind it', async () => {
    const { text, ended } = await dial('GET /waiting HTTP/1.1\r\nHost: shop\r\n\r\nnonsense\r\n\r\n');
    await ended;
    assert.equal(text(), '');
  });

  it('find bodies refused that are packed, however well, and nothing of them is unpacked', async () => {
    const bomb = gzipSync(Buffer.alloc(50 * 1_024 * 1_024, ' '));
    assert.ok(bomb.length < 60_000);
    for (const encoding of ['gzip', 'deflate', 'br', 'identity, gzip', 'unknown']) {
      const headers = { 'content-type': 'application/json', 'content-encoding': encoding };
      const res = await fetch(new URL('/body', urlOf(server)), { method: 'POST', headers, body: bomb });
      assert.deepEqual([res.status, ((await res.json()) as { code: string }).code], [415, 'UNSUPPORTED_MEDIA_TYPE']);
    }
    assert.equal(read, 0);
  });

  it('are not read to the end when their body is refused', async () => {
    const packed = 'Content-Type: application/json\r\nContent-Encoding: gzip';
    const head = `POST /body HTTP/1.1\r\nHost: shop\r\n${packed}\r\nContent-Length: 1000000000\r\n\r\n`;
    const { socket, text, ended } = await dial(head);
    const pushing = setInterval(() => socket.write('x'.repeat(1_000)), 10);
    await ended;
    clearInterval(pushing);
    assert.match(text(), /^HTTP\/1\.1 415 /);
    assert.ok(socket.bytesWritten < 10_000_000);
  });

  it('find no place when too many are there, and find one again when some have gone', async () => {
    const lines = await Promise.all(Array.from({ length: QUICK.connections + 10 }, () => dial()));
    await Promise.all(lines.map(({ ended }) => ended));
    const accepted = lines.filter(({ text }) => text() !== '').length; // and were told that they are too slow
    assert.ok(accepted > 0 && accepted <= QUICK.connections, `${accepted} were accepted`);
  });

  it('are told on the way that the process stops: no answer keeps its connection', async () => {
    const own = new AbortController();
    let finish: (() => void) | undefined;
    const other = createListener(
      (_req, res) => {
        finish = () => void res.end('done');
        res.on('close', () => (finish = undefined));
      },
      { limits: QUICK, stopping: own.signal, log },
    );
    await listen(other, 0, '127.0.0.1');
    try {
      const asked = fetch(urlOf(other));
      await eventually('the request is there', () => Promise.resolve(finish));
      own.abort();
      finish?.();
      assert.equal((await asked).headers.get('connection'), 'close');
      const late = fetch(urlOf(other));
      await eventually('another one is there', () => Promise.resolve(finish));
      finish?.();
      assert.equal((await late).headers.get('connection'), 'close');
    } finally {
      await drain(other, 0);
    }
  });
});
