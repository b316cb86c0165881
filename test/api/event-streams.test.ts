import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer, get } from 'node:http';
import type { AddressInfo } from 'node:net';

import express from 'express';

import { type EventStream, EventStreams } from '../../api/event-streams.ts';
import { CheckoutError } from '../../domain/errors.ts';
import { type ReadStream, readStream } from '../support/event-stream.ts';
import { eventually } from '../support/eventually.ts';

const QUIET_MS = 3_600_000;
const HOUR_MS = 3_600_000;

describe('streams of events', () => {
  const closes: (() => Promise<void>)[] = [];
  afterEach(() => Promise.all(closes.splice(0).map((close) => close())));

  /** Every request gets a stream; its caller is the path. */
  const open = async ({ perCaller = 9, perProcess = 9, heartbeatMs = QUIET_MS, lastsMs = HOUR_MS } = {}) => {
    const stopping = new AbortController();
    const streams = new EventStreams({ perCaller, perProcess }, stopping.signal, heartbeatMs);
    const begun: EventStream[] = [];
    let arrived = 0;
    const app = express().get('/:caller', async (req, res) => {
      arrived += 1;
      if (req.query['late'] !== undefined) await once(res, 'close');
      try {
        streams.admit(req.params.caller, res);
        begun.push(streams.begin(res, lastsMs));
      } catch (error) {
        res.status(error instanceof CheckoutError ? error.httpStatus : 503).end();
      }
    });
    const server = createServer(app).listen(0, '127.0.0.1');
    await new Promise((resolve) => server.once('listening', resolve));
    const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
    closes.push(async () => {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    });
    const empty = () =>
      eventually('nothing is kept', () =>
        Promise.resolve(Object.values(streams.counts).every((n) => n === 0) ? true : undefined),
      );
    return {
      streams,
      begun,
      stopping,
      empty,
      url,
      arrived: () => arrived,
      read: (caller = 'a'): Promise<ReadStream> => readStream(`${url}/${caller}`),
    };
  };

  it('are told not to be kept, buffered or joined to other answers, and when to come back', async () => {
    const { read } = await open();
    const { headers, text } = await read();
    assert.equal(headers['content-type'], 'text/event-stream; charset=utf-8');
    assert.match(String(headers['cache-control']), /no-store/);
    assert.equal(headers['x-accel-buffering'], 'no');
    assert.equal(headers.connection, 'close');
    assert.equal(headers['content-encoding'], undefined);
    assert.match(text, /^(retry: [123]\d{3}\n\n)?$/);
  });

  it('beat while nothing happens', async () => {
    const { read } = await open({ heartbeatMs: 10 });
    const stream = await read();
    await eventually('three comments came', () =>
      Promise.resolve((stream.text.match(/^:$/gm) ?? []).length >= 3 ? true : undefined),
    );
    assert.match(stream.text, /^retry: [123]\d{3}\n\n/);
  });

  it('are limited for a caller and for the process, and a place is free again when its stream is gone', async () => {
    const { read, streams } = await open({ perCaller: 2, perProcess: 3 });
    const kept = [await read('a'), await read('a')];
    const refused = await read('a');
    assert.equal(refused.status, 429);
    assert.equal(refused.headers['retry-after'], '10');
    kept.push(await read('b'));
    assert.equal((await read('c')).status, 429);
    kept[0]?.close();
    await eventually('the place is free', () => Promise.resolve(streams.counts.admitted < 3 ? true : undefined));
    assert.equal((await read('c')).status, 200);
    assert.equal((await read('a')).status, 429, 'the process has no place left');
  });

  it('end when the process stops, and none begins after that', async () => {
    const { read, stopping, empty } = await open();
    const both = [await read('a'), await read('b')];
    stopping.abort();
    await Promise.all(both.map((stream) => stream.ends()));
    assert.equal((await read('a')).status, 503);
    await empty();
  });

  it('end when their time is over', async () => {
    const { read, empty } = await open({ lastsMs: 20 });
    await (await read()).ends();
    await empty();
  });

  it('are cut off when their reader takes nothing, so that no more than a little waits for it', async () => {
    const { read, begun, empty } = await open();
    const stream = await read();
    stream.stall();
    const [ours] = begun;
    assert.ok(ours !== undefined);
    const data = { text: 'x'.repeat(16 * 1_024) };
    let sent = 0;
    await eventually('it is cut off', () => {
      for (let n = 0; n < 100 && !ours.ended; n += 1, sent += 1) ours.send([{ event: 'state', id: sent, data }]);
      return Promise.resolve(ours.ended ? true : undefined);
    });
    await empty();
  });

  it('take no place for a reader who went while it was found out who he is', async () => {
    const { arrived, begun, url, empty, streams } = await open({ perCaller: 2 });
    for (let n = 1; n <= 3; n += 1) {
      const request = get(`${url}/a?late`);
      request.on('error', () => undefined); // it is cut off by us
      await eventually('it is there', () => Promise.resolve(arrived() === n ? true : undefined));
      request.destroy();
      await eventually('it came to its turn', () => Promise.resolve(begun.length === n ? true : undefined));
    }
    assert.deepEqual(streams.counts, { admitted: 0, open: 0, callers: 0 });
    await empty();
  });

  it('leave nothing behind when their readers go', async () => {
    const { read, empty, streams } = await open({ perCaller: 50, perProcess: 50 });
    const all = await Promise.all(Array.from({ length: 20 }, () => read()));
    assert.deepEqual(streams.counts, { admitted: 20, open: 20, callers: 1 });
    all.forEach((stream) => stream.close());
    await empty();
  });
});
