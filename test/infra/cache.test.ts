import assert from 'node:assert/strict';
import { setImmediate as nextTurn } from 'node:timers/promises';

import { Cache, type CacheStore, EVERYTHING } from '../../infra/cache/cache.ts';
import { openMemory } from '../../infra/cache/memory.ts';

type Outcome = 'hit' | 'miss' | 'joined' | 'bypass';

/** A cache in this process that counts, and a value whose loading waits to be let go. */
async function counted(store: CacheStore = openMemory({ ttlMs: 60_000 })) {
  const outcomes: Outcome[] = [];
  let failures = 0;
  const cache = new Cache(store, { asked: (outcome) => outcomes.push(outcome), failed: () => (failures += 1) });
  await cache.resume();
  return { cache, outcomes, failures: () => failures };
}

const loaded = (value: unknown, ...tags: string[]) => Promise.resolve({ value, tags });

function held(value: string, ...tags: string[]) {
  let letGo: () => void = () => undefined;
  const gate = new Promise<void>((resolve) => (letGo = resolve));
  let loads = 0;
  const load = async () => {
    loads += 1;
    await gate;
    return { value, tags };
  };
  return { load, letGo, loads: () => loads };
}

describe('the cache', () => {
  it('loads once for all who ask at the same time, and not at all for those who come later', async () => {
    const { cache, outcomes } = await counted();
    const slow = held('mug', 'product:1');
    const asked = Array.from({ length: 50 }, () => cache.get('1', slow.load));
    await nextTurn();
    slow.letGo();
    assert.deepEqual(new Set(await Promise.all(asked)), new Set(['mug']));
    assert.equal(await cache.get('1', slow.load), 'mug');
    assert.equal(slow.loads(), 1);
    const count = (outcome: Outcome) => outcomes.filter((one) => one === outcome).length;
    assert.deepEqual([count('miss'), count('joined'), count('hit'), outcomes.length], [1, 49, 1, 51]);
  });

  it('gives nothing that was loaded before a change to anyone who asks after it, and loads one at a time all the same', async () => {
    const { cache } = await counted();
    const before = held('old', 'product:1');
    const first = cache.get('1', before.load);
    await nextTurn();
    await cache.invalidate(['product:1']);
    let now = 0;
    let most = 0;
    const after = async () => {
      most = Math.max(most, (now += 1));
      assert.equal(before.loads(), 1);
      await nextTurn();
      now -= 1;
      return { value: 'new', tags: ['product:1'] };
    };
    const later = [1, 2, 3].map(() => cache.get('1', after));
    before.letGo();
    assert.equal(await first, 'old');
    assert.deepEqual(await Promise.all(later), ['new', 'new', 'new']);
    assert.equal(most, 1);
    assert.equal(await cache.get('1', () => loaded('newer')), 'new', 'what was loaded after the change was not kept');
  });

  it('keeps nothing that was loaded while it changed', async () => {
    const { cache } = await counted();
    const slow = held('old', 'product:1');
    const first = cache.get('1', slow.load);
    await nextTurn();
    await cache.invalidate(['product:1']);
    slow.letGo();
    await first;
    assert.equal(await cache.get('1', () => loaded('new')), 'new');
  });

  it('keeps neither errors nor what is not there, and tells them to all who waited', async () => {
    const { cache } = await counted();
    const broken = () => Promise.reject(new Error('the database is away'));
    const asked = await Promise.allSettled([cache.get('1', broken), cache.get('1', broken)]);
    assert.deepEqual(
      asked.map(({ status }) => status),
      ['rejected', 'rejected'],
    );
    assert.equal(await cache.get('1', () => Promise.resolve(undefined)), undefined);
    assert.equal(await cache.get('1', () => loaded('there')), 'there');
  });

  it('loads everything while nobody tells it what changes, and afterwards knows nothing from before', async () => {
    const { cache, outcomes } = await counted();
    await cache.get('1', () => loaded('a'));
    cache.pause();
    assert.equal(await cache.get('1', () => loaded('b')), 'b');
    await cache.resume();
    assert.equal(await cache.get('1', () => loaded('c')), 'c');
    assert.equal(await cache.get('1', () => loaded('d')), 'c');
    assert.deepEqual(outcomes, ['miss', 'bypass', 'miss', 'hit']);
  });

  it('begins without a cache: who made it has yet to listen for changes', async () => {
    const cache = new Cache(openMemory({ ttlMs: 60_000 }));
    await cache.get('1', () => loaded('a'));
    assert.equal(await cache.get('1', () => loaded('b')), 'b');
  });

  it('answers from what it loads when its store fails in every way, and counts that', async () => {
    const fails = () => Promise.reject(new Error('no store'));
    const { cache, outcomes, failures } = await counted({ read: fails, write: fails, invalidate: fails, close: fails });
    assert.equal(await cache.get('1', () => loaded('a')), 'a');
    await cache.invalidate(['x']);
    assert.deepEqual([outcomes, failures()], [['bypass'], 3]);
  });

  it('answers although its store can be read and not written', async () => {
    const store = openMemory({ ttlMs: 60_000 });
    const { cache, failures } = await counted({ ...store, write: () => Promise.reject(new Error('full')) });
    assert.equal(await cache.get('1', () => loaded('a')), 'a');
    await nextTurn();
    assert.equal(failures(), 1);
  });
});

describe('the cache of one process', () => {
  const store = (options: object = {}) => openMemory({ ttlMs: 60_000, ...options });
  const put = async (to: CacheStore, key: string, value: unknown, ...tags: string[]) => {
    const found = await to.read(key);
    assert.ok('since' in found);
    await to.write(key, value, { tags, since: found.since });
  };
  const has = async (from: CacheStore, key: string) => 'value' in (await from.read(key));

  it('holds so many entries, and drops what was used least lately', async () => {
    const small = store({ maxEntries: 2 });
    for (const key of ['a', 'b']) await put(small, key, 1);
    await small.read('a');
    await put(small, 'c', 1);
    assert.deepEqual([await has(small, 'a'), await has(small, 'b'), await has(small, 'c')], [true, false, true]);
  });

  it('holds so much text, and not what is larger than all of it', async () => {
    const small = store({ maxCharacters: 100 });
    await put(small, 'a', 'x'.repeat(60));
    await put(small, 'b', 'x'.repeat(60));
    await put(small, 'c', 'x'.repeat(200));
    assert.deepEqual([await has(small, 'a'), await has(small, 'b'), await has(small, 'c')], [false, true, false]);
  });

  it('forgets more than has changed rather than less, when more changes than it can tell apart', async () => {
    const small = store({ maxTags: 3 });
    for (const key of ['1', '2']) await put(small, key, key, `tag:${key}`);
    await small.invalidate(['tag:1']);
    assert.deepEqual([await has(small, '1'), await has(small, '2')], [false, true]);
    for (const n of [3, 4, 5]) await small.invalidate([`tag:${n}`]);
    assert.equal(await has(small, '2'), false);
    await put(small, '2', 'new', 'tag:2');
    assert.equal(await has(small, '2'), true);
  });

  it('forgets everything at once', async () => {
    const one = store();
    for (const key of ['a', 'b']) await put(one, key, 1, 'some');
    await one.invalidate([EVERYTHING]);
    assert.deepEqual([await has(one, 'a'), await has(one, 'b')], [false, false]);
  });
});
