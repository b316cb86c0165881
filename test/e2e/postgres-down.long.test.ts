import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';

import { WorkflowNotFoundError } from '@temporalio/client';

import { checkoutWorkflowId } from '../../domain/workflow-ids.ts';
import { orderIdFor } from '../../events/ids.ts';
import { isAlive } from '../../infra/embedded/child.ts';
import type { Child } from '../support/child.ts';
import { audited } from '../support/commands.ts';
import { query } from '../support/databases.ts';
import { eventually } from '../support/eventually.ts';
import { type FragilePostgres, fragilePostgres } from '../support/fragile-postgres.ts';
import { leakedStock } from '../support/saga-facts.ts';
import type { Answer, Order } from '../support/shop-client.ts';
import { startSystem, type TestSystem } from '../support/system.ts';

const CUSTOMERS = 20;
const PAUSE_MS = 200;
const MOST_IN_FLIGHT = 25;
const CALM_MS = 12_000;
const STOPPED_MS = 10_000;
const FROZEN_MS = 20_000;
/** Every answer comes within this, whatever is down. */
const ANSWER_LIMIT_MS = 15_000;
/** No answer by then counts as a hang. */
const PATIENCE_MS = 30_000;
const RECOVERY_LIMIT_MS = 60_000;
const IDLE_IN_TRANSACTION_LIMIT_S = 10;
const PREFERENCES = [undefined, 'respond-async', undefined, 'wait=2', undefined] as const;
const items = [{ productId: '101', variantId: '1011', quantity: 1 }];

type Request = Required<Pick<Order, 'key' | 'bearer' | 'token'>> & Omit<Order, 'items'> & { orderId: string };
/** `answer` is undefined when none came, or none that could be read. */
type Shot = Readonly<{ request: Request; repeated: boolean; answer: Answer | undefined; why: string; tookMs: number }>;

describe('PostgreSQL goes away under load', function () {
  this.timeout(400_000);
  let postgres: FragilePostgres;
  let system: TestSystem;
  let worker: Child;
  let buyers: { id: string; bearer: string }[];
  const shots: Shot[] = [];

  before(async () => {
    postgres = await fragilePostgres();
    const env = { RATE_LIMIT_PER_MINUTE: '100000', MAX_OPEN_CHECKOUTS: '1000', LOG_LEVEL: 'error' };
    system = await startSystem({ env, databases: postgres.databases });
    worker = await system.startWorkers();
    const ids = await query<{ id: string }>(
      postgres.databases.adminUrl('platform'),
      `select id::text from users where status = 'ACTIVE' order by id limit ${CUSTOMERS}`,
    );
    buyers = await Promise.all(ids.map(async ({ id }) => ({ id, bearer: await system.tokenOf(id) })));
  });
  after(async () => {
    await postgres.thaw();
    await system.stop();
    await postgres.stop();
  });

  const requestOf = (i: number): Request => {
    const { id, bearer } = buyers[i % buyers.length] ?? { id: '', bearer: '' };
    const key = randomUUID();
    const prefer = PREFERENCES[i % PREFERENCES.length];
    // Who waits for the end of a declined payment is told 402; the others are told that the order was placed.
    const token = i % 7 === 0 && !prefer?.startsWith('wait') ? 'tok_declined' : 'tok_ok';
    return { key, bearer, token, ...(prefer && { prefer }), orderId: orderIdFor('/v1/checkouts', id, key) };
  };

  const shoot = async (request: Request, repeated = false): Promise<void> => {
    const since = performance.now();
    const shot = (answer: Answer | undefined, why: string) =>
      shots.push({ request, repeated, answer, why, tookMs: performance.now() - since });
    const { key, bearer, token, prefer } = request;
    try {
      const placing = system.shop.place({ items, key, bearer, token, ...(prefer !== undefined && { prefer }) });
      const answer = await Promise.race([placing, sleep(PATIENCE_MS, undefined, { ref: false })]);
      shot(answer, 'no answer');
    } catch (error) {
      shot(undefined, String(error)); // no connection, or a body that is not JSON
    }
  };

  /**
   * About five requests a second until it is told to stop, fewer when many have no answer yet. Every tenth repeats one
   * that is known to have started.
   */
  const load = (): { stop: () => Promise<void> } => {
    const inFlight = new Set<Promise<void>>();
    const send = (request: Request, repeated = false): void => {
      const sent: Promise<void> = shoot(request, repeated).finally(() => inFlight.delete(sent));
      inFlight.add(sent);
    };
    let stopping = false;
    const run = (async () => {
      for (let i = 0; !stopping; await sleep(PAUSE_MS)) {
        if (inFlight.size >= MOST_IN_FLIGHT) continue;
        send(requestOf(i));
        const known = i % 10 === 9 ? shots.filter(hasStarted).at(-Math.ceil(i / 4)) : undefined;
        if (known !== undefined) send({ ...known.request, prefer: 'respond-async' }, true);
        i++;
      }
    })();
    return {
      async stop() {
        stopping = true;
        await run;
        await Promise.all(inFlight);
      },
    };
  };

  const hasStarted = ({ answer, repeated }: Shot): boolean =>
    !repeated && (answer?.status === 201 || answer?.status === 202);

  /** Lets time pass while PostgreSQL answers, and looks at what its sessions do. */
  const calm = async (ms: number): Promise<void> => {
    for (const until = Date.now() + ms; Date.now() < until; await sleep(1_000)) {
      const idle = await query(
        postgres.adminUrl,
        `select pid, usename, now() - state_change as since, left(query, 80) as query from pg_stat_activity
         where state like 'idle in transaction%' and now() - state_change > $1 * interval '1 second'`,
        [IDLE_IN_TRANSACTION_LIMIT_S],
      );
      assert.deepEqual(idle, [], 'sessions that hold a transaction and do nothing');
    }
  };

  /** New orders are placed again, by the processes that were there before. */
  const recovers = (): Promise<unknown> =>
    eventually(
      'an order is placed',
      async () => {
        const { status } = await system.shop.place({ items });
        return status === 201 ? status : undefined;
      },
      RECOVERY_LIMIT_MS,
    );

  it('and every answer is bounded and honest, nothing has to be restarted, and every checkout ends', async () => {
    const driver = load();
    try {
      await calm(CALM_MS);
      await postgres.crash();
      await sleep(STOPPED_MS);
      await postgres.restart();
      await recovers();
      await calm(CALM_MS);

      await postgres.freeze();
      await sleep(FROZEN_MS);
      await postgres.thaw();
      await recovers();
      await calm(CALM_MS);
    } finally {
      await driver.stop();
    }

    // Nobody restarts a process here: what answers now is what was started in the beginning.
    assert.ok(isAlive(worker.pid), `the worker ended:\n${worker.output()}`);
    mustBeHonest();
    await notStartedWhereRefused();
    await endAsTheyShould();
    await nothingIsHeldUp();
    await eventually('every saga has ended', async () => {
      const query = 'ExecutionStatus = "Running" and WorkflowType = "checkout"';
      return (await system.temporal.workflow.count(query)).count === 0 ? true : undefined;
    });
    assert.deepEqual(await leakedStock(system), []);
    const { code, stdout, stderr } = await audited(system);
    assert.equal(code, 0, `${stdout}\n${stderr}`);
    assert.match(stdout, /^audit: clean$/m);
    assert.equal(await worker.stop(), 0);
  });

  const mustBeHonest = (): void => {
    const statuses = new Map<number, number>();
    for (const { answer, why, tookMs, repeated } of shots) {
      assert.ok(answer, why);
      const { status, headers, body } = answer;
      statuses.set(status, (statuses.get(status) ?? 0) + 1);
      const text = `${status} after ${tookMs} ms: ${JSON.stringify(body)}`;
      assert.ok([201, 202, 409, 503].includes(status), text);
      assert.ok(tookMs < ANSWER_LIMIT_MS, text);
      const type = status < 400 ? 'application/json' : 'application/problem+json';
      assert.equal(headers.get('content-type')?.split(';')[0], type, text);
      if (status === 503) {
        assert.ok(!repeated, `this checkout has started, and its shopper is told to try again: ${text}`);
        assert.equal(body['code'], 'TEMPORARILY_UNAVAILABLE', text);
        assert.ok(Number(headers.get('retry-after')) > 0, text);
        assert.doesNotMatch(text, /prisma|postgres|127\.0\.0\.1|\.ts\b/i, 'it tells how it is built');
      }
    }
    const seen = (status: number) => statuses.get(status) ?? 0;
    assert.ok(seen(201) > 10 && seen(503) > 10, `too few to prove anything: ${JSON.stringify([...statuses])}`);
  };

  /** Who was told 503 may buy again: nothing was started, and the same key places the order now. */
  const notStartedWhereRefused = async (): Promise<void> => {
    const refused = shots.filter(({ answer }) => answer?.status === 503).map(({ request }) => request);
    for (const { orderId } of refused) {
      await assert.rejects(
        system.temporal.workflow.getHandle(checkoutWorkflowId(orderId)).describe(),
        WorkflowNotFoundError,
        `${orderId} was answered 503, and it has started`,
      );
    }
    const again = refused.slice(0, 10);
    for (const { key, bearer, token } of again) {
      const { status, body } = await system.shop.place({ items, key, bearer, token });
      assert.equal(status, 201, JSON.stringify(body));
    }
  };

  const endAsTheyShould = async (): Promise<void> => {
    const started = shots.filter(hasStarted).map(({ request }) => request);
    const ends = await Promise.all(
      started.map(async ({ orderId, token }) => {
        const result: unknown = await system.temporal.workflow.getHandle(checkoutWorkflowId(orderId)).result();
        return { orderId, token, result };
      }),
    );
    for (const { orderId, token, result } of ends) {
      const expected = token === 'tok_ok' ? { status: 'COMPLETED' } : { status: 'REJECTED', code: 'PAYMENT_DECLINED' };
      assert.deepEqual({ ...(result as object), detail: undefined }, { ...expected, detail: undefined }, orderId);
    }
  };

  /** As many orders at once as all connections of all pools, four times over: a lost connection would show. */
  const nothingIsHeldUp = async (): Promise<void> => {
    const answers = await Promise.all(
      Array.from({ length: 40 }, (_, i) => system.shop.place({ items, ...bearerOf(i) })),
    );
    assert.deepEqual(new Set(answers.map(({ status }) => status)), new Set([201]));
    for (const { body } of answers) {
      await system.temporal.workflow.getHandle(checkoutWorkflowId(String(body['orderId']))).result();
    }
    await calm(1_000);
  };
  const bearerOf = (i: number) => ({ bearer: buyers[i % buyers.length]?.bearer ?? '' });
});
