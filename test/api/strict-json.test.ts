import assert from 'node:assert/strict';

import { parseStrictJson } from '../../api/strict-json.ts';
import { CheckoutError } from '../../domain/errors.ts';

const parse = (text: string) => parseStrictJson(Buffer.from(text));
const malformed = (error: unknown) => error instanceof CheckoutError && error.code === 'MALFORMED_REQUEST';

describe('strict JSON', () => {
  it('reads what JSON.parse reads', () => {
    const text = '{"a":[{"k":1},{"k":2}],"b":{"k":"x: \\"y\\", {"},"c":"\\u0061\\\\"}';
    assert.deepEqual(parse(text), JSON.parse(text));
  });

  it('refuses a key that is given twice, however it is spelled', () => {
    assert.throws(() => parse('{"a":1,"b":2,"a":3}'), malformed);
    assert.throws(() => parse('{"a":1,"\\u0061":3}'), malformed);
    assert.throws(() => parse('{"list":[{"x":1},{"y":1,"y":2}]}'), malformed);
  });

  it('allows one key in two objects and as a value', () => {
    assert.deepEqual(parse('[{"a":"a"},{"a":["a","a"]}]'), [{ a: 'a' }, { a: ['a', 'a'] }]);
  });

  it('refuses keys that change an object instead of filling it', () => {
    for (const key of ['__proto__', 'constructor', 'prototype', '__pr\\u006fto__']) {
      assert.throws(() => parse(`{"deep":{"${key}":{}}}`), malformed, key);
    }
  });

  it('refuses broken JSON, bytes that are not UTF-8, and values that are no object', () => {
    for (const text of ['', '{', '{"a":1}}', 'null', '1', '"text"', '{"a":NaN}', '\ufeff{}']) {
      assert.throws(() => parse(text), malformed, JSON.stringify(text));
    }
    assert.throws(() => parseStrictJson(Buffer.from([0x7b, 0x22, 0xff, 0x22, 0x3a, 0x31, 0x7d])), malformed);
  });

  it('answers to nesting as deep as a body allows without losing its stack', () => {
    assert.throws(() => parse(`${'['.repeat(65_000)}`), malformed);
    assert.doesNotThrow(() => parse(`${'['.repeat(30_000)}${']'.repeat(30_000)}`));
  });
});
