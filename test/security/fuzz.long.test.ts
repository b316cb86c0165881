import assert from 'node:assert/strict';
import { randomInt } from 'node:crypto';
import { Socket } from 'node:net';

import fc from 'fast-check';

import type { Operation } from '../../api/contract/operation.ts';
import { assertDeclared } from './declared.ts';
import { fromSchema } from './from-schema.ts';
import type { Request } from './http.ts';
import { malformedRequests } from './malformed.ts';
import { exampleOf, TESTED } from './requests.ts';
import { each, openWorld, requestOf, tokenFor, type World } from './world.ts';

const MALFORMED = 600;
/** Of each operation with a body, and of each with a query. */
const DRAWN = 25;
/** What a request may meet on its way to an operation. */
const ON_THE_WAY = ['METHOD_NOT_ALLOWED', 'NOT_FOUND', 'MALFORMED_REQUEST'] as const;

describe('every operation of the declaration, whatever is sent', function () {
  this.timeout(60_000);
  const seed = randomInt(2 ** 31);
  const reached = new Set<string>();
  let world: World;
  let unhook: () => void;
  before(async () => {
    world = await openWorld();
    unhook = hookConnections(reached);
  });
  after(async () => {
    unhook();
    await world.close();
  });

  const token = (operation: Operation) => tokenFor(world, operation);

  it('refuses what is malformed with a problem that it declares', async () => {
    const arbitrary = malformedRequests(TESTED, { known: world.known, tokenOf: token });
    await each(fc.sample(arbitrary, { seed, numRuns: MALFORMED }), async ({ operation, fault, request }) => {
      const reply = await world.send(request);
      const said = `with ${fault} (seed ${seed}), ${request.method} ${request.path.slice(0, 200)}`;
      assert.ok(reply.status >= 400, `${operation.id} ${said}: ${reply.status}`);
      assertDeclared(operation, reply, said, ON_THE_WAY);
    });
  });

  it('answers bodies drawn from its own schema as it declares, refused or granted', async () => {
    // Those that only workers could grant are left to the malformed ones: each would wait for them.
    const granted = TESTED.filter(
      (operation) => operation.body !== undefined && exampleOf(operation, world.known).status !== null,
    );
    assert.ok(granted.length >= 6);
    await each(granted, async (operation) => {
      assert.ok(operation.body !== undefined);
      for (const body of fc.sample(fromSchema(operation.body), { seed, numRuns: DRAWN })) {
        const text = JSON.stringify(body);
        const request = { ...requestOf(world, operation, token(operation)), body: text };
        assertDeclared(operation, await world.send(request), `with ${text.slice(0, 500)} (seed ${seed})`);
      }
    });
  });

  it('answers queries drawn from its own schema as it declares, refused or granted', async () => {
    await each(
      TESTED.filter(({ query, id }) => query !== undefined && id !== 'auditShop'),
      async (operation) => {
        assert.ok(operation.query !== undefined);
        const { path, ...request } = requestOf(world, operation, token(operation));
        for (const drawn of fc.sample(fromSchema(operation.query), { seed, numRuns: DRAWN })) {
          const fields = Object.entries(typeof drawn === 'object' && drawn !== null ? drawn : {});
          const query = new URLSearchParams(fields.map(([name, value]): [string, string] => [name, String(value)]));
          const asked: Request = { ...request, path: `${path.split('?')[0]}?${query.toString()}` };
          assertDeclared(operation, await world.send(asked), `${asked.path} (seed ${seed})`);
        }
      },
    );
  });

  it('connects to its own databases and to Temporal alone, whatever addresses it was sent (API7, request forgery)', async () => {
    const evil = 'http://169.254.169.254/latest/meta-data';
    for (const operation of TESTED) {
      const { headers, ...request } = requestOf(world, operation, token(operation));
      const forged = {
        'x-forwarded-host': '169.254.169.254',
        forwarded: 'host=169.254.169.254',
        referer: evil,
        origin: evil,
      };
      await world.send({ ...request, headers: { ...headers, 'idempotency-key': '', ...forged } });
    }
    const { urls } = world.api;
    const databases = Object.values(urls).map((url) => new URL(url).port);
    const allowed = new Set([...databases, String(world.port), world.temporalPort].map((port) => `127.0.0.1:${port}`));
    const outside = [...reached]
      .map((target) => target.replace('localhost', '127.0.0.1'))
      .filter((target) => !allowed.has(target));
    assert.deepEqual(outside, []);
    assert.ok(reached.has(`127.0.0.1:${world.port}`), 'no connection was seen at all');
  });
});

/** Notes where every socket of this process is connected to: node:http, fetch, pg and gRPC all come through here. */
function hookConnections(reached: Set<string>): () => void {
  const { prototype } = Socket;
  const original = Object.getOwnPropertyDescriptor(prototype, 'connect');
  assert.ok(original !== undefined);
  const connect = original.value as (this: Socket, ...args: unknown[]) => Socket;
  prototype.connect = function (this: Socket, ...args: unknown[]): Socket {
    reached.add(targetOf(args));
    return connect.apply(this, args);
  };
  return () => void Object.defineProperty(prototype, 'connect', original);
}

/** `net.connect` hands its arguments on in a list of its own. */
function targetOf(args: readonly unknown[]): string {
  const [first, second] = Array.isArray(args[0]) ? (args[0] as unknown[]) : args;
  if (typeof first !== 'object' || first === null)
    return `${typeof second === 'string' ? second : '127.0.0.1'}:${String(first)}`;
  const { host = '127.0.0.1', port, path } = first as { host?: string; port?: number | string; path?: string };
  return port === undefined ? String(path) : `${host}:${port}`;
}
