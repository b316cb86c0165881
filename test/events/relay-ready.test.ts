import assert from 'node:assert/strict';

import { readyToPublish, RefusedSubjects } from '../../events/relay-ready.ts';
import type { WaitingEvent } from '../../events/relay-tables.ts';

/** A row of the outbox: `A2` is version 2 of aggregate A; `follows` says whether version 1 is published. */
const row = (id: number, name: string, follows = false): WaitingEvent => {
  const [aggregateId = '', version] = [name.slice(0, 1), Number(name.slice(1))];
  return {
    id: BigInt(id),
    partition: 0,
    follows,
    event: {
      ...{ id: name, type: 'T', source: 'platform', aggregateType: 't', aggregateId },
      ...{ aggregateVersion: version, envelope: {} },
    },
  };
};
const names = (rows: readonly WaitingEvent[]) => rows.map(({ event }) => event.id);
const ready = (page: readonly WaitingEvent[], refused = new RefusedSubjects(), now = 0) =>
  names(readyToPublish(page, refused, now));

describe('what a relay may publish of a page', () => {
  it('is all of it when every aggregate goes on where it was', () => {
    assert.deepEqual(ready([row(1, 'A1', true), row(2, 'B4', true), row(3, 'A2'), row(4, 'B5')]), [
      ...['A1', 'B4', 'A2', 'B5'],
    ]);
  });

  it('is nothing of an aggregate whose earlier event is not to be seen yet', () => {
    assert.deepEqual(ready([row(1, 'A2'), row(2, 'B1', true), row(3, 'A3')]), ['B1']);
  });

  it('ends where an aggregate has a gap', () => {
    assert.deepEqual(ready([row(1, 'A1', true), row(2, 'A2'), row(3, 'A4'), row(4, 'A5')]), ['A1', 'A2']);
  });

  it('leaves what became visible in the wrong order for the next look', () => {
    assert.deepEqual(ready([row(1, 'A2'), row(2, 'A1', true)]), ['A1']);
    assert.deepEqual(ready([row(1, 'A2', true)]), ['A2']);
  });

  it('leaves out a refused aggregate while it pauses, then tries one event of it', () => {
    const refused = new RefusedSubjects();
    refused.refuse('t/A', 2, 0);
    const page = [row(1, 'A1', true), row(2, 'B1', true), row(3, 'A2'), row(4, 'A3')];
    assert.deepEqual(ready(page, refused, 499), ['B1']);
    assert.deepEqual(ready(page, refused, 500), ['A1', 'B1']);
    refused.accept('t/A');
    assert.deepEqual(ready(page, refused, 500), ['A1', 'B1'], 'two were refused together, so they go one by one');
    refused.accept('t/A');
    assert.deepEqual(ready(page, refused, 500), ['A1', 'B1', 'A2', 'A3']);
  });
});

describe('the pause of a refused aggregate', () => {
  it('doubles with each refusal up to half a minute', () => {
    const refused = new RefusedSubjects();
    const pauses = Array.from({ length: 8 }, () => {
      refused.refuse('t/A', 1, 0);
      let pause = 0;
      while (refused.allowance('t/A', pause) === 0) pause += 500;
      return pause;
    });
    assert.deepEqual(pauses, [500, 1_000, 2_000, 4_000, 8_000, 16_000, 30_000, 30_000]);
  });

  it('is remembered for a bounded number of aggregates, and the oldest is forgotten first', () => {
    const refused = new RefusedSubjects();
    for (let n = 0; n < 2_500; n += 1) refused.refuse(`t/${n}`, 1, 0);
    assert.equal(refused.size, 1_000);
    assert.equal(refused.allowance('t/1499', 0), Infinity);
    assert.equal(refused.allowance('t/1500', 0), 0);
  });
});
