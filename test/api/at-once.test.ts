import assert from 'node:assert/strict';
import { EventEmitter } from 'node:events';

import type { Request, Response } from 'express';

import { atOnce } from '../../api/at-once.ts';

/** As much of a response as is looked at. */
function responseOf(caller: string, destroyed = false) {
  const headers: Record<string, string> = {};
  const set = (name: string, value: string) => void (headers[name] = value);
  const locals = { identity: { caller: { id: caller, role: 'customer' } } };
  return Object.assign(new EventEmitter(), { locals, headers, set, destroyed });
}
type Fake = ReturnType<typeof responseOf>;

describe('requests of one caller at a time', () => {
  const limit = () => {
    const handler = atOnce(2);
    return (res: Fake): string => {
      let outcome = 'nothing';
      try {
        void handler({} as Request, res as unknown as Response, () => (outcome = 'passed'));
      } catch (error) {
        outcome = String((error as { code?: unknown }).code);
      }
      return outcome;
    };
  };

  it('are refused beyond the limit, until one of them is over', () => {
    const ask = limit();
    const [first, second, third] = [responseOf('1'), responseOf('1'), responseOf('1')];
    assert.deepEqual([first, second, third].map(ask), ['passed', 'passed', 'TOO_MANY_REQUESTS']);
    assert.equal(third?.headers['Retry-After'], '1');
    third?.emit('close'); // a refused one gives no place back
    assert.equal(ask(responseOf('1')), 'TOO_MANY_REQUESTS');
    first?.emit('close');
    assert.equal(ask(responseOf('1')), 'passed');
  });

  it('are nobody else’s business', () => {
    const ask = limit();
    assert.deepEqual(
      ['1', '1', '2', '2'].map((id) => ask(responseOf(id))),
      ['passed', 'passed', 'passed', 'passed'],
    );
  });

  it('take no place for a client that is gone already', () => {
    const ask = limit();
    for (let n = 0; n < 5; n++) assert.equal(ask(responseOf('1', true)), 'passed');
    assert.equal(ask(responseOf('1')), 'passed');
  });
});
