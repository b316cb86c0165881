import assert from 'node:assert/strict';

import express from 'express';
import { pino } from 'pino';
import { Registry } from 'prom-client';
import { createClient } from 'redis';
import supertest from 'supertest';

import { requestLimit } from '../../api/limits.ts';
import { problems } from '../../api/problem.ts';
import { countedAlone, openCounters, type RequestCounters } from '../../infra/request-counters.ts';
import { eventually } from '../support/eventually.ts';
import { startRedis, type TestRedis } from '../support/redis-server.ts';
import { openApi } from './open-api.ts';

const LIMIT = 6;
/** What one answer may take while Redis is of no help: the limit of one question to it, and a busy machine. */
const SOON_MS = 1_000;

type Answer = Readonly<{ status: number; left: number; ms: number; headers: Record<string, unknown> }>;

describe('limits of requests over several processes', function () {
  this.timeout(60_000);
  let redis: TestRedis;
  const open: RequestCounters[] = [];
  before(async function () {
    redis = await startRedis(this);
  });
  afterEach(() => {
    for (const counters of open.splice(0)) counters.close();
  });
  after(() => redis.stop());

  /** A process that answers what the limit lets through; the caller's address is what the test says. */
  const startProcess = () => {
    const lines: string[] = [];
    const log = pino({ level: 'info' }, { write: (line: string) => void lines.push(line) });
    const registry = new Registry();
    const counters = openCounters({ redisUrl: redis.url }, log, countedAlone(registry));
    open.push(counters);
    const app = express().set('trust proxy', 1).use(requestLimit(counters, LIMIT));
    app.get('/', (_req, res) => void res.json({})).use(problems(pino({ level: 'silent' })));
    const ask = async (address: string): Promise<Answer> => {
      const since = performance.now();
      const { status, headers } = await supertest(app).get('/').set('X-Forwarded-For', address);
      const left = Number(/remaining=(\d+)/.exec(String(headers['ratelimit']))?.[1]);
      return { status, left, ms: performance.now() - since, headers };
    };
    const alone = async (): Promise<number> =>
      Number(/^rate_limit_fallback_total (\d+)$/m.exec(await registry.metrics())?.[1]);
    return { ask, alone, lines };
  };
  type Process = ReturnType<typeof startProcess>;
  let addresses = 0;
  const stranger = (): string => `203.0.113.${(addresses += 1)}`;
  /** Each request of an address that nobody limits, until one is counted in Redis. */
  const untilTogether = (process: Process) =>
    eventually('requests are counted in Redis', async () => {
      const before = await process.alone();
      await process.ask(stranger());
      return (await process.alone()) === before ? true : undefined;
    });
  const statuses = (answers: readonly Answer[]) => answers.map(({ status }) => status);
  const repeated = async (times: number, ask: () => Promise<Answer>): Promise<Answer[]> => {
    const answers: Answer[] = [];
    for (let i = 0; i < times; i += 1) answers.push(await ask());
    return answers;
  };

  it('allow so many requests together, tell how many are left, and when to come again', async () => {
    const [one, other] = [startProcess(), startProcess()];
    await Promise.all([untilTogether(one), untilTogether(other)]);
    const address = stranger();
    for (let i = 0; i < LIMIT; i += 1) {
      const { status, left } = await (i % 2 === 0 ? one : other).ask(address);
      assert.deepEqual([status, left], [200, LIMIT - 1 - i]);
    }
    for (const process of [one, other]) {
      const { status, headers } = await process.ask(address);
      assert.equal(status, 429);
      const wait = Number(headers['retry-after']);
      assert.ok(wait > 0 && wait <= 60, String(headers['retry-after']));
      assert.match(String(headers['content-type']), /^application\/problem\+json/);
      assert.equal((await process.ask(stranger())).status, 200, 'the next caller pays for it');
    }
  });

  it('let no more through when all processes are asked at once', async () => {
    const processes = [startProcess(), startProcess()];
    await Promise.all(processes.map(untilTogether));
    const address = stranger();
    const asked = processes.flatMap(({ ask }) => Array.from({ length: LIMIT }, () => ask(address)));
    assert.equal(statuses(await Promise.all(asked)).filter((status) => status === 200).length, LIMIT);
  });

  it('count the addresses of one IPv6 network as one', async () => {
    const process = startProcess();
    await untilTogether(process);
    const answers = await repeated(LIMIT + 1, () => process.ask(`2001:db8:0:${(addresses += 1)}::1`));
    assert.equal(answers.at(-1)?.status, 429);
  });

  for (const [how, away, back] of [
    ['dies', () => redis.kill(), () => redis.restart()],
    ['stands still', () => Promise.resolve(redis.freeze()), () => Promise.resolve(redis.thaw())],
  ] as const) {
    it(`neither open nor close when Redis ${how}: each process goes on from its own count, and says so once`, async () => {
      const process = startProcess();
      await untilTogether(process);
      const address = stranger();
      await repeated(LIMIT - 2, () => process.ask(address));
      const before = await process.alone();
      await away();
      try {
        const answers = await repeated(4, () => process.ask(address));
        assert.deepEqual(statuses(answers), [200, 200, 429, 429]);
        for (const { ms } of answers) assert.ok(ms < SOON_MS, `it took ${ms} ms`);
        assert.equal((await process.ask(stranger())).status, 200);
        assert.ok((await process.alone()) >= before + 5);
        assert.equal(process.lines.filter((line) => line.includes('does not answer')).length, 1, 'said once');
      } finally {
        await back();
      }
      await untilTogether(process);
      assert.match(process.lines.at(-1) ?? '', /answers again/);
    });
  }

  it('hold when Redis was never there, and are counted together once it comes', async () => {
    await redis.kill();
    const [one, other] = [startProcess(), startProcess()];
    try {
      const address = stranger();
      assert.deepEqual(statuses(await repeated(LIMIT + 1, () => one.ask(address))), [
        ...Array<number>(LIMIT).fill(200),
        429,
      ]);
    } finally {
      await redis.restart();
    }
    await Promise.all([untilTogether(one), untilTogether(other)]);
    const address = stranger();
    await repeated(LIMIT, () => one.ask(address));
    assert.equal((await other.ask(address)).status, 429);
  });

  it('go on when Redis has lost its data, its scripts too', async () => {
    const process = startProcess();
    await untilTogether(process);
    const client = await createClient({ url: redis.url }).connect();
    await client.flushAll();
    await client.sendCommand(['SCRIPT', 'FLUSH']);
    client.destroy();
    const before = await process.alone();
    const address = stranger();
    assert.equal((await repeated(LIMIT + 1, () => process.ask(address))).at(-1)?.status, 429);
    assert.equal(await process.alone(), before);
  });

  it('hold for the API: a caller who has used them up in one process is refused by the other', async () => {
    const settings = { redisUrl: redis.url, rateLimitPerMinute: LIMIT };
    const apis = [await openApi('127.0.0.1:1', { settings }), await openApi('127.0.0.1:1', { settings })] as const;
    const client = await createClient({ url: redis.url }).connect();
    try {
      const get = async ({ http }: (typeof apis)[number], token: string): Promise<number> =>
        (await http.get('/v1/nothing').set('Authorization', `Bearer ${token}`)).status;
      const counted = async () => Number(await client.get('commerce-saga:count:1:requests:caller:100'));
      for (const api of apis) {
        await eventually('its requests are counted in Redis', async () => {
          const before = await counted();
          await get(api, api.tokens.admin);
          return (await counted()) > before ? true : undefined;
        });
      }
      const [one, other] = apis;
      for (let i = 0; i < LIMIT; i += 1) assert.equal(await get(one, one.tokens.customer), 404);
      assert.equal(await get(other, other.tokens.customer), 429);
      assert.equal(await get(other, other.tokens.otherCustomer), 404);
      assert.equal((await other.http.get('/healthz')).status, 200);
    } finally {
      client.destroy();
      await Promise.all(apis.map((api) => api.close()));
    }
  });
});
