import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';

import type { Operation } from '../../api/contract/operation.ts';
import { OPERATIONS } from '../../api/contract/operations.ts';
import { readConfig } from '../../infra/config.ts';
import { openBus } from '../../infra/databases.ts';
import { signToken } from '../../infra/tokens.ts';
import { WEBHOOK_SECRETS } from '../api/open-api.ts';
import { eventually } from '../support/eventually.ts';
import { startSystem, type TestSystem } from '../support/system.ts';
import { withAt } from './bodies.ts';
import { deadLetter } from './dead-letter.ts';
import { assertDeclared, assertRefusal } from './declared.ts';
import { type Reply, type Request, type Send, sender } from './http.ts';
import { type Body, BY_NATURE, KEYED, type Keyed, respelled } from './keyed-operations.ts';
import { exampleOf } from './requests.ts';
import { bodyOf, requestOf } from './world.ts';

const AT_ONCE = 10;
const KEYED_OPERATIONS = OPERATIONS.filter(({ headers }) => headers?.includes('Idempotency-Key') === true);
const OTHER_WRITES = OPERATIONS.filter(
  (operation) => operation.method !== 'get' && !KEYED_OPERATIONS.includes(operation),
);

/** The draft of the IETF on Idempotency-Key, where this API follows it; a repeat joins the first request, there is no 409. */
describe('a request with an Idempotency-Key', function () {
  this.timeout(120_000);
  let system: TestSystem;
  let send: Send;
  let known: Parameters<typeof exampleOf>[1];
  let otherAdmin: string;
  const closing: (() => void)[] = [];
  before(async () => {
    const env = {
      RATE_LIMIT_PER_MINUTE: '1000000',
      MAX_OPEN_CHECKOUTS: '1000',
      GATEWAY_WEBHOOK_SECRETS: WEBHOOK_SECRETS.join(','),
    };
    system = await startSystem({ env, webhooks: false });
    await system.startWorkers();
    send = clientOf(system.shop.url);
    otherAdmin = await signToken(readConfig(system.env), { sub: '99', role: 'admin', expires: '1h' });
    const bus = openBus(system.env['BUS_DATABASE_URL'] ?? '', { poolSize: 1 });
    const letterIds = [await deadLetter({ bus }, 'a'), await deadLetter({ bus }, 'b')] as const;
    await bus.$disconnect();
    known = { orderId: await paidOrder(), letterIds };
  });
  after(async () => {
    closing.forEach((close) => close());
    await system.stop();
  });

  const clientOf = (url: string): Send => {
    const client = sender(Number(new URL(url).port));
    closing.push(client.close);
    return client.send;
  };
  const paidOrder = async (): Promise<string> => {
    const items = [{ productId: '102', quantity: 90 }];
    const { status, body } = await system.shop.place({ items, prefer: 'wait=30' });
    assert.equal(body['status'], 'PAID', `${status} ${JSON.stringify(body)}`);
    return String(body['orderId']);
  };
  type Ask = Readonly<{ key?: string | readonly string[]; token?: string; by?: Send; prefer?: string }>;
  const ask = (operation: Operation, body: unknown, { key, token, by = send, prefer }: Ask): Promise<Reply> => {
    const { headers, ...request } = requestOf({ known }, operation, token ?? tokenOf(operation));
    const rest = Object.entries(headers ?? {}).filter(([name]) => !['idempotency-key', 'prefer'].includes(name));
    const more = { ...(key !== undefined && { 'idempotency-key': key }), ...(prefer !== undefined && { prefer }) };
    return by({
      ...request,
      headers: { ...Object.fromEntries(rest), ...more },
      body: typeof body === 'string' ? body : JSON.stringify(body),
    });
  };
  const tokenOf = ({ access }: Operation): string =>
    access.includes('customer') ? system.shop.tokens.customer : system.shop.tokens.admin;
  const othersToken = ({ access }: Operation): string =>
    access.includes('customer') ? system.shop.tokens.otherCustomer : otherAdmin;
  const newBody = (operation: Operation): Body => exampleOf(operation, known).body ?? {};
  const refusedBody = (operation: Operation, { refused: { change } }: Keyed): unknown => {
    const [place, value] = change;
    const changed = withAt(newBody(operation), place, value);
    return operation.id === 'placeCheckout' ? withAt(changed, ['expectedTotal'], null) : changed;
  };

  const count = async ([database, text]: Keyed['effects']): Promise<number> =>
    (await system.query<{ n: number }>(database, text))[0]?.n ?? -1;
  /** How many more there are afterwards. */
  const changeOf = async <T>(counted: Keyed['effects'], work: () => Promise<T>): Promise<readonly [number, T]> => {
    const before = await count(counted);
    const result = await work();
    return [(await count(counted)) - before, result];
  };

  it('is tested here for every operation that takes one, and all other writes may be repeated by their nature', () => {
    assert.deepEqual(Object.keys(KEYED).sort(), KEYED_OPERATIONS.map(({ id }) => id).sort());
    assert.deepEqual(Object.keys(BY_NATURE).sort(), OTHER_WRITES.map(({ id }) => id).sort());
  });

  for (const operation of KEYED_OPERATIONS) {
    const keyed = KEYED[operation.id];
    if (keyed === undefined) continue; // told by the test above
    const { defaults, other, moving = [], refused } = keyed;
    const effectsOf = <T>(work: () => Promise<T>) => changeOf(keyed.effects, work);
    const answered = (reply: Reply) => {
      assertDeclared(operation, reply, 'with a key');
      const fields = Object.entries(bodyOf(reply) as object).filter(([name]) => !moving.includes(name));
      return { status: reply.status, location: reply.headers['location'], body: Object.fromEntries(fields) };
    };
    const replayed = ({ headers }: Reply): boolean => headers['idempotent-replayed'] === 'true';

    describe(operation.id, () => {
      it('is refused without a key, and with one that cannot be any, and does nothing', async () => {
        const body = newBody(operation);
        const [effects] = await effectsOf(async () => {
          for (const key of [undefined, '', ' ']) {
            assertRefusal(
              await ask(operation, body, key === undefined ? {} : { key }),
              ['IDEMPOTENCY_KEY_MISSING'],
              `${key}`,
            );
          }
          for (const key of [
            'x'.repeat(256),
            'Schlüssel',
            'a\tb',
            '"a',
            '"a"b',
            '"a\\n"',
            '""',
            ['a', 'b'],
            ['a', 'a'],
          ]) {
            assertRefusal(
              await ask(operation, body, { key }),
              ['MALFORMED_REQUEST'],
              `${operation.id} with the key ${String(key)}`,
            );
          }
        });
        assert.equal(effects, 0);
      });

      it('does its work once and answers the same again, however it is spelled and whatever is preferred', async () => {
        const [key, body] = [randomUUID(), newBody(operation)];
        const [effects] = await effectsOf(async () => {
          const first = await ask(operation, body, { key });
          assert.ok(first.status < 300, first.text);
          assert.equal(replayed(first), false);
          for (const again of [
            await ask(operation, body, { key: `"${key}"` }),
            await ask(operation, respelled(body, defaults), { key }),
            await ask(operation, body, { key, prefer: 'return=minimal' }),
          ]) {
            assert.equal(replayed(again), true);
            assert.deepEqual(answered(again), answered(first));
          }
        });
        assert.equal(effects, 1);
      });

      it('is refused with another body under the same key, and does not do that either', async () => {
        const [key, body] = [randomUUID(), newBody(operation)];
        const first = await ask(operation, body, { key });
        const [effects] = await effectsOf(async () => {
          const [place, value] = other;
          assertRefusal(
            await ask(operation, withAt(body, place, value), { key }),
            ['IDEMPOTENCY_KEY_REUSED'],
            operation.id,
          );
        });
        assert.equal(effects, 0);
        assert.deepEqual(answered(await ask(operation, body, { key })), answered(first), 'the key lost its answer');
      });

      it('does its work once when it comes ten times at the same moment', async () => {
        const [key, body] = [randomUUID(), newBody(operation)];
        const [effects, replies] = await effectsOf(() =>
          Promise.all(Array.from({ length: AT_ONCE }, () => ask(operation, body, { key }))),
        );
        assert.equal(effects, 1);
        const [first] = replies.map(answered);
        for (const reply of replies) assert.deepEqual(answered(reply), first);
      });

      it('is something else when somebody else sends the same key', async () => {
        const key = randomUUID();
        const [effects, replies] = await effectsOf(async () => [
          await ask(operation, newBody(operation), { key }),
          await ask(operation, newBody(operation), { key, token: othersToken(operation) }),
        ]);
        assert.equal(effects, 2, replies.map(({ text }) => text).join('\n'));
        assert.deepEqual(replies.map(replayed), [false, false]);
      });

      it(`is refused again as it was refused${refused.kept ? '' : ', until it can be granted'}`, async () => {
        const [key, body] = [randomUUID(), refusedBody(operation, keyed)];
        const [effects] = await effectsOf(async () => {
          const first = await ask(operation, body, { key });
          const again = await ask(operation, body, { key });
          for (const reply of [first, again]) assertRefusal(reply, [refused.code], operation.id);
          assert.deepEqual([replayed(first), replayed(again)], [false, refused.kept]);
          assert.equal(again.text, first.text);
        });
        assert.equal(effects, 0);
        if (refused.kept) return;
        assert.ok((await ask(operation, newBody(operation), { key })).status < 300, 'the key is lost');
      });
    });
  }

  it('is another request on another operation, and is known again by an API that has just started', async () => {
    const key = randomUUID();
    const asked: (readonly [Operation, Body, Reply])[] = [];
    for (const operation of KEYED_OPERATIONS) {
      const body = newBody(operation);
      const reply = await ask(operation, body, { key });
      assert.deepEqual([reply.status < 300, reply.headers['idempotent-replayed']], [true, undefined], reply.text);
      asked.push([operation, body, reply]);
    }
    const by = clientOf((await system.startApi()).url);
    for (const [operation, body, first] of asked) {
      const again = await ask(operation, body, { key, by });
      assert.deepEqual([again.status, again.headers['idempotent-replayed']], [first.status, 'true'], operation.id);
      if (operation.id !== 'refundOrder') assert.deepEqual(bodyOf(again), bodyOf(first));
    }
  });

  describe('is not needed, and a repeat does no more, where', () => {
    for (const [id, { why, statuses, effects }] of Object.entries(BY_NATURE)) {
      it(`${id}: ${why}`, async () => {
        const operation = OTHER_WRITES.find((one) => one.id === id);
        assert.ok(operation);
        const about = id === 'cancelOrder' ? { ...known, orderId: await unpaidOrder() } : known;
        const request = requestOf(
          { known: about },
          operation,
          operation.access === 'signature' ? null : tokenOf(operation),
        );
        const twice = async (): Promise<Reply[]> => [await untilDone(request), await send(request)];
        const [made, replies] = await changeOf(effects?.count ?? NOTHING, twice);
        assert.deepEqual(
          replies.map(({ status }) => status),
          statuses,
          replies.map(({ text }) => text).join('\n'),
        );
        for (const reply of replies) assertDeclared(operation, reply, 'twice');
        assert.equal(made, effects?.made ?? 0);
        if (statuses[0] === statuses[1]) assert.deepEqual(bodyOf(replies[1] as Reply), bodyOf(replies[0] as Reply));
      });
    }
  });
  /** A cancellation is answered 202 while the payment is looked at. */
  const untilDone = (request: Request): Promise<Reply> =>
    eventually('it is done', async () => {
      const reply = await send(request);
      return request.path.endsWith('/cancel') && reply.status === 202 ? undefined : reply;
    });
  const unpaidOrder = async (): Promise<string> => {
    const { status, body } = await system.shop.place({
      items: [{ productId: '102', quantity: 1 }],
      payment: { method: 'bank_transfer' },
    });
    assert.equal(status, 201, JSON.stringify(body));
    return String(body['orderId']);
  };
});

const NOTHING: Keyed['effects'] = ['platform', 'select 0 as n'];
