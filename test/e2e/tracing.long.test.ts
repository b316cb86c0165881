import assert from 'node:assert/strict';

import type { Child } from '../support/child.ts';
import { eventually } from '../support/eventually.ts';
import { type OtlpReceiver, otlpReceiver } from '../support/otlp-receiver.ts';
import { startSystem, type TestSystem } from '../support/system.ts';

const TRACE = '4bf92f3577b34da6a3ce929d0e0e4736';
const CALLER = '00f067aa0ba902b7';
const REQUEST = 'till-7_again';

describe('one trace from the request to the views', function () {
  this.timeout(120_000);
  let receiver: OtlpReceiver;
  let system: TestSystem;
  let workers: Child;
  let events: Child;
  let orderId: string;

  before(async () => {
    receiver = await otlpReceiver();
    const env = { OTEL_EXPORTER_OTLP_ENDPOINT: receiver.url, OTEL_BSP_SCHEDULE_DELAY: '100', LOG_LEVEL: 'debug' };
    system = await startSystem({ env });
    [workers, events] = await Promise.all([system.startWorkers(), system.startEvents()]);
  });
  after(async () => {
    await system.stop();
    await receiver.close();
  });

  const envelopes = () =>
    system.query<{ envelope: Record<string, unknown> }>(
      'order',
      `select envelope from outbox where envelope ->> 'correlationId' = $1 order by id`,
      [orderId],
    );

  it("continues the caller's trace in every process, down to what each view applied", async () => {
    const placed = await system.shop.call('POST', '/v1/checkouts', {
      body: { items: [{ productId: '102', quantity: 1 }], payment: { method: 'card', token: 'tok_ok' } },
      headers: {
        ...{ 'idempotency-key': 'traced', 'x-request-id': REQUEST, prefer: 'wait=20' },
        ...{
          traceparent: `00-${TRACE}-${CALLER}-01`,
          tracestate: 'caller=secret-state',
          baggage: 'who=secret-baggage',
        },
      },
    });
    assert.equal(placed.status, 201, JSON.stringify(placed.body));
    assert.equal(placed.headers.get('x-request-id'), REQUEST);
    orderId = String(placed.body['orderId']);

    const wanted = [
      'api POST /v1/checkouts',
      'api UpdateWithStartWorkflow placed',
      'workers RunActivity reserveStock',
      'workers RunActivity capturePayment',
      'workers RunWorkflow checkout',
      'events publish OrderPaid',
      'events publish PaymentCompleted',
      'events apply OrderPaid',
    ];
    const spans = await eventually('every span has come', () => {
      const ours = receiver.spans().filter(({ traceId }) => traceId === TRACE);
      const names = ours.map(({ process, name }) => `${process} ${name}`);
      return Promise.resolve(wanted.every((name) => names.includes(name)) ? ours : undefined);
    });
    const known = new Set([CALLER, ...spans.map(({ spanId }) => spanId)]);
    assert.deepEqual(
      spans.filter(({ parentSpanId }) => !known.has(parentSpanId)),
      [],
      'a span hangs in the air',
    );
    const request = spans.find(({ name }) => name === 'POST /v1/checkouts');
    assert.equal(request?.parentSpanId, CALLER);
    assert.deepEqual(request.attributes, {
      'http.request.method': 'POST',
      'http.route': '/v1/checkouts',
      'http.response.status_code': '201',
    });
  });

  it('stores both ids with the events, and nothing else of what the caller sent', async () => {
    const rows = await envelopes();
    assert.notEqual(rows.length, 0);
    for (const { envelope } of rows) {
      assert.match(String(envelope['traceparent']), new RegExp(`^00-${TRACE}-[0-9a-f]{16}-01$`));
      assert.equal(envelope['requestid'], REQUEST);
      assert.doesNotMatch(JSON.stringify(envelope), /secret-/);
    }
    assert.doesNotMatch(receiver.raw(), /secret-|traced/);
  });

  it('has lines of every process under the request id that the caller chose', async () => {
    const linesOf = (text: string) =>
      text
        .split('\n')
        .filter((line) => line.includes(REQUEST))
        .map((line) => JSON.parse(line) as Readonly<Record<string, unknown>>);
    const lines = await eventually('every process has written its lines', () => {
      const found = [system.api, workers, events].map((child) => linesOf(child.output()));
      return Promise.resolve(found.every((some) => some.length > 0) ? found.flat() : undefined);
    });
    assert.deepEqual([...new Set(lines.map(({ name }) => name))].sort(), ['api', 'events', 'workers']);
    for (const line of lines) assert.deepEqual([line['requestId'], line['trace_id']], [REQUEST, TRACE]);
    const said = lines.map(({ msg }) => String(msg));
    for (const what of ['request completed', 'event published', 'event applied', 'Activity completed']) {
      assert.ok(said.includes(what), `nobody says "${what}": ${[...new Set(said)].join(', ')}`);
    }
  });

  it('begins a trace of its own where the caller gives none, or one that is none', async () => {
    const ids = ['', 'nonsense', `00-${'0'.repeat(32)}-${CALLER}-01`, `ff-${TRACE}-${CALLER}-01`].map(
      (traceparent, n) => ({
        traceparent,
        'x-request-id': `own-${n}`,
      }),
    );
    for (const headers of ids) assert.equal((await system.shop.call('GET', '/v1/users/me', { headers })).status, 200);
    const traces = await eventually('the requests are logged', () => {
      const lines = system.api.output().split('\n');
      const found = ids.map((headers) => lines.find((line) => line.includes(headers['x-request-id'])) ?? '{}');
      const trace = found.map((line) => (JSON.parse(line) as { trace_id?: string }).trace_id);
      return Promise.resolve(trace.every((one) => one !== undefined) ? trace : undefined);
    });
    assert.equal(new Set([...traces, TRACE]).size, ids.length + 1);
  });

  it('goes on when nobody takes the spans, and says so once', async () => {
    await receiver.close();
    const said = () => system.api.output().split('spans of traces were not sent').length - 1;
    await eventually('the API has noticed', async () => {
      assert.equal((await system.shop.call('GET', '/v1/users/me')).status, 200);
      return said() > 0 ? true : undefined;
    });
    assert.equal(said(), 1);
    assert.equal(await system.api.stop(), 0);
    assert.equal(said(), 1);
  });
});
