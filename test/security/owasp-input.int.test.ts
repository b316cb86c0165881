import assert from 'node:assert/strict';
import { gzipSync } from 'node:zlib';

import type { Operation } from '../../api/contract/operation.ts';
import { ROLES } from '../../domain/roles.ts';
import { type Place, places, pointerOf, withAt } from './bodies.ts';
import { assertDeclared, assertRefusal } from './declared.ts';
import type { Reply } from './http.ts';
import { exampleOf, TESTED } from './requests.ts';
import { HIDDEN_PATHS, PAGE_POLICY, SECURITY_HEADERS } from './surface.ts';
import { ALLOWED_ORIGIN, each, openWorld, requestOf, tokenFor, type World } from './world.ts';

/** What an attacker adds to a body, hoping that it is stored or believed. */
const FOREIGN_FIELDS = [
  ...['total', 'totalMinor', 'price', 'unitPrice', 'amountMinor', 'currency', 'discount', 'status', 'paymentStatus'],
  ...['userId', 'customerId', 'orderId', 'id', 'role', 'isAdmin', 'version', 'createdAt', 'requestHash', 'toString'],
];
/** What changes the object instead of filling it. */
const DANGEROUS_FIELDS = ['__proto__', 'constructor', 'prototype'];
/** Of no field at all: one that is known is refused because of it, one that is not must be refused for being there. */
const NO_VALUE = { never: true };
/** How anything is started. */
const TEMPORAL_CALLS = ['start', 'executeUpdateWithStart', 'signalWithStart'];
const LARGEST_BODY = 64 * 1_024;
const REFUSED = ['INVALID_REQUEST', 'MALFORMED_REQUEST'] as const;

const WITH_BODY = TESTED.filter(({ body, access }) => body !== undefined && access !== 'signature');

/** Rows of the OWASP API Security Top 10 2023 about what is sent, and what is told. */
describe('every operation of the declaration', function () {
  this.timeout(60_000);
  let world: World;
  before(async () => {
    world = await openWorld();
  });
  after(() => world.close());

  const sendBody = (
    operation: Operation,
    body: unknown,
    more: Readonly<Record<string, string>> = {},
  ): Promise<Reply> => {
    const request = requestOf(world, operation, tokenFor(world, operation));
    const bytes = typeof body === 'string' ? body : JSON.stringify(body);
    return world.send({ ...request, headers: { ...request.headers, ...more }, body: bytes });
  };
  const example = (operation: Operation) => exampleOf(operation, world.known);
  /** Places of the example that are as the declaration orders them; those that are free take whatever there is. */
  const strictPlaces = (operation: Operation): readonly (readonly [Place, unknown])[] => {
    const { body, free = [] } = example(operation);
    return places(body).filter(([place]) => !free.some((pointer) => pointerOf(place).startsWith(pointer)));
  };
  /** Neither a start nor an update reaches Temporal while the check runs. */
  const withoutTemporal = async (check: () => Promise<void>): Promise<void> => {
    const { workflow } = world.api.client;
    let reached = 0;
    const value = (): never => {
      reached++;
      throw new Error('Temporal was reached');
    };
    for (const call of TEMPORAL_CALLS) Object.defineProperty(workflow, call, { value, configurable: true });
    try {
      await check();
    } finally {
      for (const call of TEMPORAL_CALLS) Reflect.deleteProperty(workflow, call); // the class has them
    }
    assert.equal(reached, 0, 'something that was refused reached Temporal');
  };

  describe('API3 object property level authorization', () => {
    it('tells to each role what it declares, and not a field more', async () => {
      await each(
        TESTED,
        async (operation) => {
          const { status } = example(operation);
          if (status === null) return; // needs workers: idempotency.long.test.ts looks at its answers
          for (const token of tokensFor(operation)) {
            const reply = await world.send(requestOf(world, operation, token));
            assertDeclared(operation, reply, 'as the example is');
            const repeated = operation.path.includes('dead-letters') || reply.status === status || status === 'any';
            assert.ok(repeated, `${operation.id} answered ${reply.status} instead of ${status}: ${reply.text}`);
          }
        },
        1,
      );
    });
    const tokensFor = ({ access }: Operation): readonly (string | null)[] =>
      typeof access === 'string'
        ? [null]
        : ROLES.filter((role) => access.includes(role)).map((role) => world.api.tokens[role]);

    it('has examples of bodies that are as they are declared', () => {
      for (const operation of WITH_BODY)
        assert.ok(operation.body?.safeParse(example(operation).body).success, operation.id);
    });

    it('refuses fields that it does not know, at every depth of every body', async () => {
      let asked = 0;
      await withoutTemporal(() =>
        each(WITH_BODY, async (operation) => {
          const { body } = example(operation);
          for (const [place] of strictPlaces(operation).filter(([, value]) => isObject(value))) {
            for (const field of FOREIGN_FIELDS) {
              const reply = await sendBody(operation, withAt(body, [...place, field], NO_VALUE));
              assertRefusal(
                reply,
                ['INVALID_REQUEST', 'PAYMENT_METHOD_INVALID'],
                `${operation.id} with ${pointerOf([...place, field])}`,
              );
              asked++;
            }
          }
        }),
      );
      assert.ok(asked >= WITH_BODY.length * FOREIGN_FIELDS.length);
    });

    it('refuses keys that change an object, at every depth, also where any key may stand', async () => {
      await withoutTemporal(() =>
        each(WITH_BODY, async (operation) => {
          const { body } = example(operation);
          for (const [place] of places(body).filter(([, value]) => isObject(value))) {
            for (const field of DANGEROUS_FIELDS) {
              for (const value of ['x', { isAdmin: true }]) {
                const reply = await sendBody(operation, withAt(body, [...place, field], value));
                assertRefusal(reply, ['MALFORMED_REQUEST'], `${operation.id} with ${pointerOf([...place, field])}`);
              }
            }
          }
        }),
      );
      assert.equal(({} as Record<string, unknown>)['isAdmin'], undefined);
    });

    it('refuses parameters of the query that it does not know, or knows and gets twice', async () => {
      await each(
        TESTED.filter(({ query }) => query !== undefined),
        async (operation) => {
          const { path, ...request } = requestOf(world, operation, tokenFor(world, operation));
          const [bare = ''] = path.split('?');
          const known = Object.keys(example(operation).query ?? {});
          assert.ok(known.length > 0, operation.id);
          const queries = [
            'total=1',
            'role=admin',
            '__proto__=x',
            'constructor=x',
            'a[b]=c',
            ...known.map((name) => `${name}=1&${name}=2`),
            ...known.map((name) => `${name}[]=1`),
          ];
          for (const query of queries) {
            const reply = await world.send({ ...request, path: `${bare}?${query}` });
            assertRefusal(reply, REFUSED, `${operation.id}?${query}`);
          }
        },
      );
    });
  });

  describe('API4 resource consumption', () => {
    it('refuses a body that is one byte too long, whether it says so or not', async () => {
      await each(
        TESTED.filter(({ body }) => body !== undefined),
        async (operation) => {
          const largest = operation.largestBodyBytes ?? LARGEST_BODY;
          const of = (bytes: number, chunked = false) => {
            const request = requestOf(world, operation, tokenFor(world, operation));
            return world.send({ ...request, chunked, body: Buffer.alloc(bytes, ' ') });
          };
          for (const chunked of [false, true]) {
            assertRefusal(
              await of(largest, chunked),
              ['MALFORMED_REQUEST', 'WEBHOOK_REJECTED'],
              `${operation.id} at its limit`,
            );
            assertRefusal(
              await of(largest + 1, chunked),
              ['PAYLOAD_TOO_LARGE'],
              `${operation.id}, chunked: ${chunked}`,
            );
          }
        },
      );
    });

    it('does not unpack what is sent packed', async () => {
      const bomb = gzipSync(Buffer.alloc(10 * 1_024 * 1_024, ' '));
      await each(WITH_BODY, async (operation) => {
        const { headers, ...request } = requestOf(world, operation, tokenFor(world, operation));
        for (const encoding of ['gzip', 'deflate', 'br', 'gzip, gzip', 'x']) {
          const reply = await world.send({
            ...request,
            headers: { ...headers, 'content-encoding': encoding },
            body: bomb,
          });
          assertRefusal(reply, ['UNSUPPORTED_MEDIA_TYPE'], `${operation.id} as ${encoding}`);
        }
      });
    });

    it('refuses lists, texts and numbers beyond their limits, none of which reaches Temporal', async () => {
      await withoutTemporal(() =>
        each(WITH_BODY, async (operation) => {
          const { body, most = 200 } = example(operation);
          const refused = async (place: Place, value: unknown) =>
            assertRefusal(
              await sendBody(operation, withAt(body, place, value)),
              ['INVALID_REQUEST', 'PAYMENT_METHOD_INVALID'],
              `${operation.id} with ${pointerOf(place)} = ${JSON.stringify(value).slice(0, 40)}`,
            );
          for (const [place, value] of places(body)) {
            if (Array.isArray(value) && value.length > 0)
              await refused(place, Array<unknown>(most + 1).fill(most > 200 ? {} : value[0]));
          }
          for (const [place, value] of strictPlaces(operation)) {
            if (typeof value === 'string') await refused(place, 'x'.repeat(50_000));
            if (typeof value === 'number')
              for (const number of [2 ** 53, -(2 ** 53), 1e308, 0.5, `${value}`]) await refused(place, number);
          }
        }),
      );
    });

    it('refuses a cart of 10 000 lines before it knows one of them', async () => {
      const [operation] = WITH_BODY.filter(({ id }) => id === 'placeCheckout');
      assert.ok(operation);
      const body = { ...example(operation).body, items: Array(10_000).fill({ productId: '102', quantity: 1 }) };
      await withoutTemporal(async () =>
        assertRefusal(await sendBody(operation, body), ['PAYLOAD_TOO_LARGE'], 'the cart'),
      );
    });

    it('refuses what is nested deeper than anything of ours', async () => {
      const deep = [
        `${'['.repeat(30_000)}${']'.repeat(30_000)}`,
        `${'{"a":'.repeat(9_000)}1${'}'.repeat(9_000)}`,
        '['.repeat(60_000),
      ];
      await each(WITH_BODY, async (operation) => {
        const { body } = example(operation);
        for (const text of deep) {
          assertRefusal(await sendBody(operation, text), REFUSED, operation.id);
          for (const key of Object.keys(body ?? {}))
            assertRefusal(await sendBody(operation, `{"${key}":${text}}`), REFUSED, `${operation.id} ${key}`);
        }
      });
    });

    it('gives no page beyond its largest, and takes no cursor that it did not give', async () => {
      const lists = TESTED.filter((operation) => example(operation).query?.['limit'] !== undefined);
      assert.ok(lists.length >= 4);
      await each(lists, async (operation) => {
        const { path, ...request } = requestOf(world, operation, tokenFor(world, operation));
        const [bare = ''] = path.split('?');
        const wrong = ['101', '0', '-1', '1e9', 'Infinity', 'NaN', '1.5', ' ', '0x10', 'x'].map(
          (limit) => `limit=${encodeURIComponent(limit)}`,
        );
        const cursors = ['x'.repeat(5_000), '-1', 'AAAA', '%00', '9'.repeat(40)].map((cursor) => `cursor=${cursor}`);
        for (const query of [...wrong.filter((query) => query !== 'limit=0x10'), ...cursors]) {
          assertRefusal(
            await world.send({ ...request, path: `${bare}?${query}` }),
            REFUSED,
            `${operation.id}?${query.slice(0, 60)}`,
          );
        }
      });
    });
  });

  describe('API8 configuration', () => {
    it('sends the same security headers with every answer, and none that tells what it is made of', async () => {
      await each(TESTED, async (operation) => {
        for (const token of [null, tokenFor(world, operation)]) {
          const { headers, ...request } = requestOf(world, operation, token);
          const reply = await world.send({ ...request, headers: { ...headers, 'idempotency-key': '' } });
          const page = operation.id === 'showDocs' && reply.status < 400;
          const own = page ? { 'content-security-policy': PAGE_POLICY } : {};
          for (const [name, value] of Object.entries({ ...SECURITY_HEADERS, ...own }))
            assert.equal(reply.headers[name], value, `${operation.id}: ${name}`);
          assert.match(String(reply.headers['x-request-id']), /^[\w-]{1,64}$/);
          for (const name of ['x-powered-by', 'server', 'via']) assert.equal(reply.headers[name], undefined, name);
        }
      });
    });

    it('opens itself to pages of the listed origins alone', async () => {
      await each(TESTED, async (operation) => {
        const { headers, ...request } = requestOf(world, operation, tokenFor(world, operation));
        for (const origin of [
          'https://evil.test',
          'null',
          `${ALLOWED_ORIGIN}.evil.test`,
          'http://shop.test',
          `${ALLOWED_ORIGIN}:8443`,
        ]) {
          const asked = { ...headers, 'idempotency-key': '', origin };
          const preflight = { ...asked, 'access-control-request-method': request.method };
          const replies = [await world.send({ ...request, headers: asked })];
          replies.push(await world.send({ method: 'OPTIONS', path: request.path, headers: preflight }));
          for (const reply of replies)
            assert.equal(reply.headers['access-control-allow-origin'], undefined, `${operation.id} for ${origin}`);
          if (/^(de|en)codePayloads$/.test(operation.id)) assertRefusal(replies[0] as Reply, ['FORBIDDEN'], origin);
        }
        if (operation.path.startsWith('/v1/codec/')) return; // has origins of its own
        const reply = await world.send({
          ...request,
          headers: { ...headers, 'idempotency-key': '', origin: ALLOWED_ORIGIN },
        });
        assert.equal(reply.headers['access-control-allow-origin'], ALLOWED_ORIGIN);
        assert.equal(reply.headers['access-control-allow-credentials'], undefined);
      });
    });
  });

  describe('API9 inventory', () => {
    it('is all there is: no path of a debugger, an older version or a neighbour answers', async () => {
      await each(HIDDEN_PATHS, async (path) => {
        for (const method of ['GET', 'PUT', 'POST', 'DELETE']) {
          const reply = await world.send({
            method,
            path,
            headers: { authorization: `Bearer ${world.api.tokens.admin}` },
          });
          assertRefusal(reply, ['NOT_FOUND'], `${method} ${path}`);
        }
      });
    });

    it('has the methods that are declared, and answers the others with what they are', async () => {
      await each(TESTED, async (operation) => {
        const { path } = requestOf(world, operation, null);
        const declared = TESTED.filter((other) => other.path === operation.path).map(({ method }) =>
          method.toUpperCase(),
        );
        const allowed = declared.flatMap((method) => (method === 'GET' ? ['GET', 'HEAD'] : [method]));
        for (const method of ['PUT', 'DELETE', 'TRACE', 'PROPFIND', 'GET', 'POST', 'PATCH'].filter(
          (one) => !allowed.includes(one),
        )) {
          const reply = await world.send({
            method,
            path,
            headers: { authorization: `Bearer ${world.api.tokens.admin}` },
          });
          assertRefusal(reply, ['METHOD_NOT_ALLOWED'], `${method} ${path}`);
          assert.deepEqual(String(reply.headers['allow']).split(', ').sort(), allowed.sort(), `${method} ${path}`);
        }
      });
    });
  });
});

const isObject = (value: unknown): boolean => typeof value === 'object' && value !== null && !Array.isArray(value);
