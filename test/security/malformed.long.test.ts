import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { randomInt, randomUUID } from 'node:crypto';
import { promisify } from 'node:util';

import fc from 'fast-check';

import { ROLES } from '../../domain/roles.ts';
import { type DatabaseName, DATABASES } from '../../infra/config.ts';
import { isAlive } from '../../infra/embedded/child.ts';
import { WEBHOOK_SECRETS } from '../api/open-api.ts';
import { type Child, startChild } from '../support/child.ts';
import { startSystem, type TestSystem } from '../support/system.ts';
import { BROKEN, saidTo } from './broken-http.ts';
import { assertDeclared } from './declared.ts';
import { type Reply, sender } from './http.ts';
import { type Malformed, malformedRequests } from './malformed.ts';
import { TESTED } from './requests.ts';
import { each } from './world.ts';

const command = promisify(execFile);

const REQUESTS = 10_000;
const AT_ONCE = 16;
/** Of the raw ones, each so often. */
const ROUNDS = 10;
/** What a process may keep after all of them, and the collector has not yet come to. Bytes. */
const MOST_KEPT = 200 * 1_024 * 1_024;

describe('ten thousand malformed requests to an API process', function () {
  this.timeout(180_000);
  let system: TestSystem;
  let api: Child;
  before(async () => {
    const env = { RATE_LIMIT_PER_MINUTE: '100000000', GATEWAY_WEBHOOK_SECRETS: WEBHOOK_SECRETS.join(',') };
    system = await startSystem({ env });
    api = await startChild('api/server.ts', { ...system.env, PORT: '0' });
  });
  after(async () => {
    await api?.stop();
    await system?.stop();
  });

  it('are refused with problems that are declared; the process lives, its memory is bounded, and no row is written', async () => {
    const seed = randomInt(2 ** 31);
    const port = Number(new URL(api.url).port);
    const { send, close } = sender(port);
    const { tokens } = system.shop;
    const known = { orderId: randomUUID(), letterIds: ['1', '2'] as const };
    const asker = {
      known,
      tokenOf: ({ access }: Malformed['operation']) =>
        typeof access === 'string' ? null : tokens[ROLES.find((role) => access.includes(role)) ?? 'admin'],
    };
    const requests = fc.sample(malformedRequests(TESTED, asker), { seed, numRuns: REQUESTS });
    const before = await contents();
    const statuses = new Map<number, number>();
    const tell = ({ status }: Pick<Reply, 'status'>) => void statuses.set(status, (statuses.get(status) ?? 0) + 1);

    const warm = requests.slice(0, 500);
    const check = async ({ operation, fault, request }: Malformed): Promise<void> => {
      const said = `with ${fault} (seed ${seed}), ${request.method} ${request.path.slice(0, 200)}`;
      const reply = await send(request);
      tell(reply);
      assert.ok(
        reply.status >= 400 && reply.status < 500,
        `${operation.id} ${said}: ${reply.status} ${reply.text.slice(0, 300)}`,
      );
      if (request.method === 'HEAD') return;
      assertDeclared(operation, reply, said, ['METHOD_NOT_ALLOWED', 'NOT_FOUND', 'MALFORMED_REQUEST']);
    };
    await each(warm, check, AT_ONCE);
    const rss = await memoryOf(api.pid);
    for (let from = warm.length; from < REQUESTS; from += 2_500) {
      await each(requests.slice(from, from + 2_500), check, AT_ONCE);
      process.stderr.write(`      ${Math.min(from + 2_500, REQUESTS)} of ${REQUESTS} refused\n`);
    }
    assert.equal(
      [...statuses.values()].reduce((sum, n) => sum + n, 0),
      REQUESTS,
    );
    for (const status of [400, 401, 404, 405, 413, 415, 422])
      assert.ok((statuses.get(status) ?? 0) > 0, `no ${status}: ${[...statuses.keys()].join()}`);

    const answered = new Set<string>();
    const raw = Array.from({ length: ROUNDS }, () => Object.entries(BROKEN)).flat();
    await each(
      raw,
      async ([what, bytes]) => {
        const said = await saidTo(port, bytes);
        for (const [line] of said.matchAll(/^HTTP\/1\.1 \d{3}.*$/gm))
          assert.match(line, /^HTTP\/1\.1 4\d\d /, `${what}: ${said}`);
        if (said.startsWith('HTTP/1.1 4')) answered.add(what);
        assert.doesNotMatch(said, /node_modules|stack/i, what);
      },
      AT_ONCE,
    );
    assert.ok(answered.size >= 20, `only ${[...answered].join()} were answered at all`);

    close();
    assert.ok(isAlive(api.pid), api.output());
    const health = await fetch(`${api.url}/healthz`);
    assert.equal(health.status, 200);
    const kept = (await memoryOf(api.pid)) - rss;
    assert.ok(kept < MOST_KEPT, `the process grew by ${kept} bytes`);
    assert.deepEqual(await contents(), before);
  });

  /** Of every table of every database, a sum over the versions of all its rows: any insert, update or delete changes it. */
  const contents = async (): Promise<Readonly<Record<string, string>>> => {
    const sums: Record<string, string> = {};
    for (const database of DATABASES) {
      for (const table of await tablesOf(database)) {
        const [row] = await system.query<{ sum: string }>(
          database,
          `select count(*) || ' ' || coalesce(md5(string_agg(t.ctid::text || t.xmin::text, ',' order by t.ctid)), '') as sum
           from "${table}" t`,
        );
        sums[`${database}.${table}`] = String(row?.sum);
      }
    }
    return sums;
  };
  const tablesOf = async (database: DatabaseName): Promise<readonly string[]> =>
    (
      await system.query<{ name: string }>(
        database,
        `select c.relname as name from pg_class c where c.relkind = 'r' and c.relnamespace = 'public'::regnamespace order by 1`,
      )
    ).map(({ name }) => name);
});

/** Bytes in memory, as the system counts them. */
async function memoryOf(pid: number): Promise<number> {
  const { stdout } = await command('ps', ['-o', 'rss=', '-p', String(pid)]);
  return Number(stdout.trim()) * 1_024;
}
