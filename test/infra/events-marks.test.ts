import assert from 'node:assert/strict';

import { EventMarks } from '../../infra/audit/events-marks.ts';

describe('marks of events', () => {
  it('know what was marked, of each service by itself, whatever its place', () => {
    const marks = new EventMarks();
    const places = [0, 1, 7, 8, 65_535, 65_536, 65_543, 2 ** 31, 2 ** 31 + 1, 2 ** 40 + 5, Number.MAX_SAFE_INTEGER];
    for (const place of places) {
      assert.equal(marks.has('order', place), false, String(place));
      assert.equal(marks.add('order', place), true, String(place));
      assert.equal(marks.add('order', place), false, `${place} again`);
      assert.equal(marks.has('order', place), true, String(place));
      assert.equal(marks.has('payment', place), false, `${place} of another service`);
    }
    for (const place of [2, 9, 65_534, 2 ** 31 + 2, 2 ** 40 + 4]) assert.equal(marks.has('order', place), false);
  });
});
