import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';

import type { Operation } from '../../api/contract/operation.ts';
import { OPERATIONS } from '../../api/contract/operations.ts';
import { ROLES } from '../../domain/roles.ts';
import { assertDeclared, assertRefusal } from './declared.ts';
import type { Reply } from './http.ts';
import { EXAMPLE_IDS, expectedAccess, TESTED } from './requests.ts';
import { attacks } from './token-attacks.ts';
import { bodyOf, codeOf, each, openWorld, OWNER, pathOf, requestOf, type World } from './world.ts';

const OTHER = '2';

/** Those that a bearer token opens. */
const GUARDED = TESTED.filter(({ access }) => typeof access !== 'string');
/** Those of one order that its owner may do. */
const OF_AN_ORDER = GUARDED.filter(({ path, access }) => path.includes('{orderId}') && access.includes('customer'));

/** Rows of the OWASP API Security Top 10 2023 about who may do what; the others are in the files beside this one. */
describe('every operation of the declaration', function () {
  this.timeout(60_000);
  let world: World;
  before(async () => {
    world = await openWorld();
  });
  after(() => world.close());

  const ask = (operation: Operation, token: string | null): Promise<Reply> =>
    world.send(requestOf(world, operation, token));
  /** A key is asked for after the role is known; with one, workers would have to answer. */
  const withoutKey = (operation: Operation, token: string | null): Promise<Reply> => {
    const { headers, ...request } = requestOf(world, operation, token);
    return world.send({ ...request, headers: { ...headers, 'idempotency-key': '' } });
  };

  it('has an example here, and every example is of an operation', () => {
    assert.deepEqual([...EXAMPLE_IDS].sort(), OPERATIONS.map(({ id }) => id).sort());
  });

  describe('API1 object level authorization', () => {
    it('tells nobody but its owner that an order exists: as if it did not, and never that it is forbidden', async () => {
      assert.ok(OF_AN_ORDER.length >= 2);
      const { customer, otherCustomer } = world.api.tokens;
      await each(OF_AN_ORDER, async (operation) => {
        const of = (orderId: string) => ({
          ...requestOf(world, operation, otherCustomer),
          path: pathOf(operation, { orderId }),
        });
        const [own, foreign, none, upper] = await Promise.all([
          ask(operation, customer),
          world.send(of(world.known.orderId)),
          world.send(of(randomUUID())),
          world.send(of(world.known.orderId.toUpperCase())),
        ]);
        assert.ok(own.status < 300, `${operation.id} for the owner: ${own.status} ${own.text}`);
        for (const reply of [foreign, none, upper]) {
          assertRefusal(reply, ['NOT_FOUND'], operation.id);
          assert.equal(reply.text, none.text, `${operation.id} tells orders of others from those that do not exist`);
          assert.deepEqual(comparable(reply), comparable(none), operation.id);
        }
      });
    });

    it('lists and shows to each customer what is his, however he asks', async () => {
      const { send, api } = world;
      const get = (path: string, token: string) =>
        send({ method: 'GET', path, headers: { authorization: `Bearer ${token}` } });
      const mine = await get('/v1/orders', api.tokens.customer);
      assert.ok(mine.text.includes(world.known.orderId));
      const others = await get('/v1/orders', api.tokens.otherCustomer);
      assert.deepEqual((bodyOf(others) as { items: unknown[] }).items, []);
      // A list of somebody else is refused whoever he is, so that it does not tell who exists.
      const asked = await Promise.all(
        [OWNER, '999999999'].map((id) => get(`/v1/orders?userId=${id}`, api.tokens.otherCustomer)),
      );
      for (const reply of asked) assertRefusal(reply, ['FORBIDDEN'], 'the orders of somebody else');
      assert.equal(asked[0]?.text, asked[1]?.text);
      for (const [token, id] of [
        [api.tokens.customer, OWNER],
        [api.tokens.otherCustomer, OTHER],
      ] as const) {
        assert.equal((bodyOf(await get('/v1/users/me', token)) as { userId: string }).userId, id);
      }
    });
  });

  describe('API2 authentication', () => {
    it('refuses every bad token with one and the same answer, where none is asked for too', async () => {
      const bad = await attacks(world);
      assert.ok(bad.length >= 20);
      const answers = new Set<string>();
      const guessed = TESTED.filter(({ access }) => access !== 'signature' && access !== 'probe');
      await each(guessed, async (operation) => {
        for (const [what, authorization] of bad) {
          const request = requestOf(world, operation, null);
          const reply = await world.send({ ...request, headers: { ...request.headers, authorization } });
          assertRefusal(reply, ['UNAUTHENTICATED'], `${operation.id} with ${what}: ${reply.status} ${reply.text}`);
          assert.equal(reply.headers['www-authenticate'], 'Bearer');
          answers.add(reply.text);
        }
      });
      assert.equal(answers.size, 1, [...answers].join('\n'));
    });

    it('takes a good token in any case of its scheme, and none from the address or the body', async () => {
      const { customer } = world.api.tokens;
      const me = (path: string, headers: Record<string, string>) => world.send({ method: 'GET', path, headers });
      for (const scheme of ['Bearer', 'bearer', 'BEARER']) {
        assert.equal((await me('/v1/users/me', { authorization: `${scheme} ${customer}` })).status, 200, scheme);
      }
      for (const name of ['access_token', 'token', 'authorization', 'jwt']) {
        const reply = await me(`/v1/users/me?${name}=${customer}`, {
          cookie: `${name}=${customer}`,
          [`x-${name}`]: customer,
        });
        assertRefusal(reply, ['UNAUTHENTICATED'], name);
      }
    });

    it('asks for a token before it reads a body, so that strangers upload nothing', async () => {
      const body = '{'.repeat(100_000);
      await each(
        GUARDED.filter((operation) => operation.body !== undefined),
        async (operation) => {
          const reply = await world.send({ ...requestOf(world, operation, null), body });
          assertRefusal(reply, ['UNAUTHENTICATED'], operation.id);
        },
      );
    });

    it('lets no token in where a signature is asked for, and no signature where a token is', async () => {
      for (const operation of TESTED.filter(({ access }) => access === 'signature')) {
        const headers = { 'content-type': 'application/json', authorization: `Bearer ${world.api.tokens.admin}` };
        assertRefusal(
          await world.send({ ...requestOf(world, operation, null), headers }),
          ['WEBHOOK_REJECTED'],
          operation.id,
        );
      }
    });
  });

  describe('API5 function level authorization', () => {
    it('is declared for those who this test says may do it', () => {
      for (const operation of TESTED) {
        assert.deepEqual(operation.access, expectedAccess(operation, world.known), operation.id);
      }
    });

    it('is done for the roles of its declaration, and for no other', async () => {
      let asked = 0;
      await each(GUARDED, async (operation) => {
        for (const role of [null, ...ROLES]) {
          const token = role === null ? null : world.api.tokens[role];
          const reply = await withoutKey(operation, token);
          const said = `${operation.id} as ${role ?? 'nobody'}: ${reply.status} ${reply.text}`;
          if (role === null) assertRefusal(reply, ['UNAUTHENTICATED'], said);
          else if (!operation.access.includes(role)) assertRefusal(reply, ['FORBIDDEN'], said);
          else assert.ok(![401, 403].includes(reply.status), said);
          asked++;
        }
      });
      assert.equal(asked, GUARDED.length * (ROLES.length + 1));
    });

    it('is open without a token where it is declared so, and to every role there', async () => {
      await each(
        TESTED.filter((operation) => !GUARDED.includes(operation)),
        async (operation) => {
          for (const token of [null, ...Object.values(world.api.tokens)]) {
            const reply = await ask(operation, token);
            assertDeclared(operation, reply, 'without a token');
            assert.ok(![401, 403].includes(reply.status), `${operation.id}: ${reply.status}`);
          }
        },
      );
    });

    it('does not depend on how its path or its method is written', async () => {
      const admin = GUARDED.filter(({ access }) => access.length === 1 && access[0] === 'admin');
      await each(admin, async (operation) => {
        const { headers, path, method, ...rest } = requestOf(world, operation, world.api.tokens.customer);
        const bare = path.split('?')[0] ?? '';
        const tricks = [
          bare.toUpperCase(),
          `${bare}/`,
          `${bare};a=b`,
          `/${bare}`,
          bare.replace('/v1/', '/v1/./'),
          `/v1/x/..${bare.slice(3)}`,
        ];
        for (const trick of [...tricks, bare.replaceAll('a', '%61')]) {
          const reply = await world.send({ ...rest, method, path: trick, headers: headers ?? {} });
          assert.ok(
            ['FORBIDDEN', 'NOT_FOUND', 'METHOD_NOT_ALLOWED', 'MALFORMED_REQUEST'].includes(codeOf(reply) ?? ''),
            `${trick}: ${reply.status}`,
          );
        }
        const asked = { authorization: `Bearer ${world.api.tokens.customer}`, 'content-type': 'application/json' };
        for (const header of [
          'x-http-method-override',
          'x-original-url',
          'x-rewrite-url',
          'x-forwarded-user',
          'x-user-role',
        ]) {
          const value = header === 'x-user-role' ? 'admin' : header.includes('url') ? bare : method;
          const reply = await world.send({
            method: 'POST',
            path: '/v1/checkouts',
            headers: { ...asked, [header]: value },
            body: '{}',
          });
          assertRefusal(reply, ['IDEMPOTENCY_KEY_MISSING'], `${header}: ${reply.text}`);
        }
      });
    });
  });
});

/** What a caller could tell answers apart by, besides their text. */
const comparable = ({ status, headers }: Reply) =>
  Object.entries({ ...headers, status }).filter(
    ([name]) => !['x-request-id', 'date'].includes(name) && !name.startsWith('ratelimit'),
  );
