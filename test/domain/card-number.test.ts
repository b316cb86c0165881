import assert from 'node:assert/strict';

import { isCardNumber } from '../../domain/card-number.ts';

describe('a card number', () => {
  for (const text of [
    '4242424242424242',
    '4242 4242 4242 4242',
    '5555-5555.5555_4444',
    '378282246310005',
    '4222222222222',
  ]) {
    it(`is ${text}`, () => assert.equal(isCardNumber(text), true));
  }
  for (const text of [
    '4242424242424243',
    '424242424242',
    '42424242424242424242',
    'tok_4242424242424242',
    '',
    '٤٢٤٢٤٢٤٢٤٢٤٢٤٢٤٢',
  ]) {
    it(`is not ${JSON.stringify(text)}`, () => assert.equal(isCardNumber(text), false));
  }
});
