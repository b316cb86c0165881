import assert from 'node:assert/strict';

import { caseOf, historyFiles, MOST_EVENTS, readHistory, textsIn } from '../support/histories.ts';

const EMAIL = /[\w.+-]+@[a-z][\w-]*\.[a-z]{2,}/gi;
const PHONE = /(?<![\w-])(?:\+\d[\d -]{7,14}\d|01\d[ -]?\d{3,4}[ -]?\d{4})(?![\w-])/g;
const CARD = /(?<![\w-])\d(?:[ -]?\d){12,18}(?![\w-])/g;
/** An account that the simulated gateway opens for one charge: one in ten has a card's check digit by chance. */
const VIRTUAL_ACCOUNT = /^110-\d{6}-\d{6}$/;
/** A folder of somebody's machine. */
const PLACE = /(?:file:\/\/|[( '"])\/[\w.-]+\/[\w./-]+/g;

/** The check digit of every card number (ISO/IEC 7812-1). */
function isCardNumber(text: string): boolean {
  const digits = [...text.replace(/\D/g, '')].reverse().map(Number);
  const sum = digits.reduce((total, digit, index) => {
    const counted = index % 2 === 0 ? digit : digit * 2;
    return total + (counted > 9 ? counted - 9 : counted);
  }, 0);
  return sum % 10 === 0;
}

/** Everything in a value that looks as if it were about a person or a machine. */
function revealing(value: unknown): string[] {
  return textsIn(value).flatMap((text) => [
    ...(text.match(EMAIL) ?? []),
    ...(text.match(PHONE) ?? []),
    ...(text.match(CARD) ?? []).filter((digits) => isCardNumber(digits) && !VIRTUAL_ACCOUNT.test(digits)),
    ...(text.match(PLACE) ?? []),
  ]);
}

describe('recorded histories', () => {
  for (const file of historyFiles()) {
    it(`${file} holds no e-mail, phone or card number and no folder of a machine`, () => {
      assert.deepEqual(revealing(readHistory(file)), []);
    });

    it(`${file} is short: a checkout is few events`, () => {
      const { length } = readHistory(file).events;
      assert.ok(length <= MOST_EVENTS[caseOf(file)], `${length} events`);
    });
  }

  it('would be caught with personal data, also inside an encoded payload', () => {
    const planted = ['kim@example.com', '010-1234-5678', '+82 10 1234 5678', '4242 4242 4242 4242', ' /home/kim/shop'];
    for (const text of planted) {
      const data = Buffer.from(JSON.stringify({ note: text })).toString('base64');
      assert.equal(revealing({ events: [{ note: text }] }).length, 1, text);
      assert.equal(
        revealing({ events: [{ payloads: [{ metadata: { encoding: 'json/plain' }, data }] }] }).length,
        1,
        text,
      );
    }
  });
});
