import assert from 'node:assert/strict';
import { setTimeout as sleep } from 'node:timers/promises';

import { pino } from 'pino';
import { createClient } from 'redis';

import { Cache, type CacheStore, EVERYTHING } from '../../infra/cache/cache.ts';
import { openMemory } from '../../infra/cache/memory.ts';
import { openRedis } from '../../infra/cache/redis.ts';
import { eventually } from '../support/eventually.ts';
import { startRedis, type TestRedis } from '../support/redis-server.ts';

const TTL_MS = 60_000;
const log = pino({ level: 'silent' });
/** What one answer may take while Redis is of no help: the limit of one question to it, and a busy machine. */
const SOON_MS = 1_000;

const loaded = (value: unknown, ...tags: string[]) => Promise.resolve({ value, tags });
const valueIn = async (store: CacheStore, key: string): Promise<unknown> => {
  const found = await store.read(key);
  return 'value' in found ? found.value : undefined;
};
const begin = async (store: CacheStore, key: string): Promise<number> => {
  const found = await store.read(key);
  assert.ok('since' in found, `${key} is there already`);
  return found.since;
};
const put = async (store: CacheStore, key: string, value: unknown, ...tags: string[]) =>
  store.write(key, value, { tags, since: await begin(store, key) });

describe('where entries of the cache are kept', function () {
  this.timeout(60_000);
  let redis: TestRedis;
  const open: CacheStore[] = [];
  before(async function () {
    redis = await startRedis(this);
  });
  afterEach(() => Promise.all(open.splice(0).map((store) => store.close())));
  after(() => redis.stop());

  /** @param prefix keeps tests apart; stores with the same one share their entries */
  const onRedis = async (prefix: string, ttlMs = TTL_MS): Promise<CacheStore> => {
    const store = openRedis({ url: redis.url, ttlMs, log, prefix: `${prefix}:` });
    open.push(store);
    await answers(store);
    return store;
  };
  const answers = (store: CacheStore) =>
    eventually(
      'Redis answers',
      () =>
        store.read('nothing').then(
          () => true,
          () => undefined,
        ),
      10_000,
    );

  const kinds: [string, (name: string, ttlMs?: number) => Promise<CacheStore>][] = [
    ['in this process', (_name, ttlMs = TTL_MS) => Promise.resolve(openMemory({ ttlMs }))],
    ['in Redis', onRedis],
  ];
  for (const [kind, openStore] of kinds) {
    describe(kind, () => {
      it('they are there until one of their tags changes, and those of other tags stay', async () => {
        const store = await openStore('tags');
        const value = { name: '머그 "blue"', price: { minor: 12_000 }, none: null };
        await put(store, 'a', value, 'product:1', 'products');
        await put(store, 'b', 'b', 'product:2', 'products');
        assert.deepEqual(await valueIn(store, 'a'), value);
        await store.invalidate(['product:1', 'product:9']);
        assert.deepEqual([await valueIn(store, 'a'), await valueIn(store, 'b')], [undefined, 'b']);
        await store.invalidate(['products']);
        assert.equal(await valueIn(store, 'b'), undefined);
      });

      it('what was loaded before a change is not shown after it, however late it is written', async () => {
        const store = await openStore('late');
        const since = await begin(store, 'a');
        await store.invalidate(['product:1']);
        await store.write('a', 'old', { tags: ['product:1'], since });
        assert.equal(await valueIn(store, 'a'), undefined);
        await put(store, 'a', 'new', 'product:1');
        assert.equal(await valueIn(store, 'a'), 'new');
      });

      it('all are gone when everything may have changed, also those that are on their way', async () => {
        const store = await openStore('everything');
        await put(store, 'a', 'a');
        const since = await begin(store, 'b');
        await store.invalidate([EVERYTHING]);
        await store.write('b', 'b', { tags: [], since });
        assert.deepEqual([await valueIn(store, 'a'), await valueIn(store, 'b')], [undefined, undefined]);
      });

      it('they are gone after their time to live', async () => {
        const store = await openStore('ttl', 200);
        await put(store, 'a', 'a', 'product:1');
        assert.equal(await valueIn(store, 'a'), 'a');
        await sleep(400);
        assert.equal(await valueIn(store, 'a'), undefined);
      });
    });
  }

  it('processes share what is in Redis, and what one of them hears counts for all', async () => {
    const [one, other] = [await onRedis('shared'), await onRedis('shared')];
    await put(one, 'a', 'a', 'product:1');
    assert.equal(await valueIn(other, 'a'), 'a');
    const since = await begin(other, 'b');
    await one.invalidate(['product:1']);
    await other.write('b', 'old', { tags: ['product:1'], since });
    assert.deepEqual([await valueIn(other, 'a'), await valueIn(one, 'b')], [undefined, undefined]);
  });

  it('what takes longer to be loaded than it may live is not kept', async () => {
    const store = await onRedis('slow', 100);
    const since = await begin(store, 'a');
    await sleep(150);
    await store.write('a', 'old', { tags: ['product:1'], since });
    assert.equal(await valueIn(store, 'a'), undefined);
  });

  describe('when Redis', () => {
    let failures = 0;
    const cacheOn = async (prefix: string): Promise<Cache> => {
      failures = 0;
      const cache = new Cache(await onRedis(prefix), { asked: () => undefined, failed: () => (failures += 1) });
      await cache.resume();
      return cache;
    };
    const soon = async <T>(work: Promise<T>): Promise<T> => {
      const since = performance.now();
      const answer = await work;
      const ms = performance.now() - since;
      assert.ok(ms < SOON_MS, `it took ${ms} ms`);
      return answer;
    };
    /** Resolves once something is kept again. @returns the value that is kept */
    const keepsAgain = (cache: Cache, key: string, next: () => string) =>
      eventually(
        'the cache is used again',
        async () => {
          const asked = [
            await cache.get(key, () => loaded(next(), 't')),
            await cache.get(key, () => loaded(next(), 't')),
          ];
          assert.ok(!asked.includes('old'));
          return asked[0] === asked[1] ? asked[0] : undefined;
        },
        15_000,
      );

    it('dies, everything is loaded at once; when it comes back, it is used again', async () => {
      const cache = await cacheOn('dies');
      assert.equal(await cache.get('a', () => loaded('1', 't')), '1');
      assert.equal(await cache.get('a', () => loaded('2', 't')), '1');
      await redis.kill();
      let n = 2;
      for (const value of ['3', '4']) {
        assert.equal(await soon(cache.get('a', () => loaded(String((n += 1)), 't'))), value);
        await soon(cache.invalidate(['t']));
      }
      assert.ok(failures > 0);
      await redis.restart();
      await keepsAgain(cache, 'a', () => String((n += 1)));
      await cache.invalidate(['t']);
      assert.equal(await cache.get('a', () => loaded('last', 't')), 'last');
    });

    it('was never there, a process starts and answers all the same, and uses it once it is', async () => {
      await redis.kill();
      const store = openRedis({ url: redis.url, ttlMs: TTL_MS, log, prefix: 'never:' });
      open.push(store);
      const cache = new Cache(store);
      await soon(cache.resume());
      assert.equal(await soon(cache.get('a', () => loaded('1', 't'))), '1');
      await redis.restart();
      let n = 1;
      await keepsAgain(cache, 'a', () => String((n += 1)));
    });

    it('stands still, answers come soon, and a change that it was not told of is not forgotten when it goes on', async () => {
      const cache = await cacheOn('frozen');
      assert.equal(await cache.get('a', () => loaded('old', 't')), 'old');
      redis.freeze();
      try {
        for (let i = 0; i < 3; i += 1) {
          // After the first one Redis is left alone, so that nothing of this is on its way to it.
          assert.equal(await soon(cache.get('b', () => loaded('b'))), 'b');
          await soon(cache.invalidate(['t']));
        }
      } finally {
        redis.thaw();
      }
      // The entry of before is still in there, and nobody but us knows that it is stale.
      let n = 0;
      assert.match(String(await keepsAgain(cache, 'a', () => `new ${(n += 1)}`)), /^new/);
    });

    it('loses all its data, what began to be loaded before is not kept: it may have forgotten the change', async () => {
      const store = await onRedis('flushed');
      const since = await begin(store, 'a');
      await store.invalidate(['t']);
      const client = await createClient({ url: redis.url }).connect();
      await client.flushAll();
      client.destroy();
      await begin(store, 'b');
      await store.write('a', 'old', { tags: ['t'], since });
      assert.equal(await valueIn(store, 'a'), undefined);
    });

    it('holds what is no entry of ours, it is loaded', async () => {
      const cache = await cacheOn('damaged');
      const store = await onRedis('damaged');
      await put(store, 'a', 'x', 't');
      const client = await createClient({ url: redis.url }).connect();
      await client.hSet('damaged:entry:a', 'value', '{"half');
      assert.equal(await cache.get('a', () => loaded('whole', 't')), 'whole');
      await client.set('damaged:entry:b', 'no hash');
      assert.equal(await soon(cache.get('b', () => loaded('b', 't'))), 'b');
      client.destroy();
    });
  });
});
