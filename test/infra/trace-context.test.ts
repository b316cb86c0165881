import assert from 'node:assert/strict';

import { carriedNow, contextOf, isRequestId } from '../../infra/trace-context.ts';

const TRACE = '4bf92f3577b34da6a3ce929d0e0e4736';
const SPAN = '00f067aa0ba902b7';

describe('the ids that go with the work', () => {
  it('are handed on as they came', () => {
    const carried = { traceparent: `00-${TRACE}-${SPAN}-01`, requestid: 'till-7_again' };
    assert.deepEqual(carriedNow(contextOf(carried)), carried);
  });

  it('keep of the flags only whether the trace is recorded', () => {
    const { traceparent } = carriedNow(contextOf({ traceparent: `00-${TRACE}-${SPAN}-fe` }));
    assert.equal(traceparent, `00-${TRACE}-${SPAN}-00`);
  });

  for (const [what, carried] of [
    ['of another version', { traceparent: `cc-${TRACE}-${SPAN}-01` }],
    ['with more behind them', { traceparent: `00-${TRACE}-${SPAN}-01-canary` }],
    ['in capitals', { traceparent: `00-${TRACE.toUpperCase()}-${SPAN}-01` }],
    ['of zeros', { traceparent: `00-${'0'.repeat(32)}-${SPAN}-01` }],
    ['whose span is zeros', { traceparent: `00-${TRACE}-${'0'.repeat(16)}-01` }],
    ['that are a list', { traceparent: [`00-${TRACE}-${SPAN}-01`], requestid: ['a'] }],
    ['with a request id that is a sentence', { requestid: 'my name is Bird' }],
    ['with an empty request id', { requestid: '' }],
    ['that are nothing', null],
    ['that are text', 'traceparent'],
    ['with state and baggage alone', { tracestate: 'a=b', baggage: 'who=bird' }],
  ] as const) {
    it(`are none when they come ${what}`, () => {
      assert.deepEqual(carriedNow(contextOf(carried)), {});
    });
  }

  it('do not include a request id that could be the number of a card or of a telephone', () => {
    for (const id of ['4242424242424242', '4242-4242-4242-4242', '01012345678', '010_1234_5678', '_1234567_']) {
      assert.equal(isRequestId(id), false, id);
    }
    for (const id of ['a', '42', '123456', 'req-4242424242', '0f8fad5b-d9cb-469f-a165-70867728950e', 'x'.repeat(64)]) {
      assert.equal(isRequestId(id), true, id);
    }
    for (const id of ['x'.repeat(65), 'card4242424242424242', 'a b', 'bird@example.test', 'a\n', '-'.repeat(65)]) {
      assert.equal(isRequestId(id), false, id);
    }
  });
});
