import assert from 'node:assert/strict';

import { isDatabaseAway } from '../../infra/database-outage.ts';
import { openPlatform } from '../../infra/databases.ts';
import { freshDatabases, type TestDatabases } from '../support/databases.ts';
import { type TcpProxy, tcpProxy } from '../support/tcp-proxy.ts';

const ANSWER_LIMIT_MS = 1_500;
const POOL_SIZE = 3;

describe('a network that swallows what is said to PostgreSQL', function () {
  this.timeout(60_000);
  let databases: TestDatabases;
  let proxy: TcpProxy;
  let platform: ReturnType<typeof openPlatform>;

  before(async () => {
    databases = await freshDatabases();
    const url = new URL(databases.urls.platform);
    proxy = await tcpProxy(Number(url.port));
    url.port = String(proxy.port);
    platform = openPlatform(url.href, { poolSize: POOL_SIZE, answerLimitMs: ANSWER_LIMIT_MS });
  });
  after(async () => {
    await platform.$disconnect();
    await proxy.close();
    await databases.drop();
  });

  const ask = () => platform.$queryRaw`select 1 as one`;
  const mustBeAway = async (work: Promise<unknown>, what: string): Promise<void> => {
    const error = await work.then(() => undefined).catch((e: unknown) => e);
    assert.ok(isDatabaseAway(error), `${what}: ${String(error)}`);
  };

  it('ends what waits for an answer as an outage, and leaves no dead connection in the pool', async () => {
    await Promise.all(Array.from({ length: POOL_SIZE }, ask));
    let go: (() => void) | undefined;
    const begun = new Promise<void>((resolve) => (go = resolve));
    let goOn: (() => void) | undefined;
    const lost = new Promise<void>((resolve) => (goOn = resolve));
    const inside = platform.$transaction(async (tx) => {
      await tx.$queryRaw`select 1`;
      go?.();
      await lost;
      await tx.$queryRaw`select 2`;
    });
    await begun;
    proxy.swallow();
    goOn?.();
    await Promise.all([
      mustBeAway(inside, 'in a transaction'),
      mustBeAway(ask(), 'alone'),
      mustBeAway(
        platform.$transaction((tx) => tx.$queryRaw`select 3`),
        'at the begin of a transaction',
      ),
    ]);
    proxy.spit();

    // Not one of these meets a connection of before: each would take the limit, and fail.
    const answers = Array.from({ length: 2 * POOL_SIZE }, (_, i) =>
      i % 2 === 0 ? ask() : platform.$transaction((tx) => tx.$queryRaw`select 1 as one`),
    );
    for (const rows of await Promise.all(answers)) assert.deepEqual(rows, [{ one: 1 }]);
  });

  it('ends a commit whose answer is lost as an outage: the caller asks what became of it', async () => {
    const muted = proxy.muteAfter('COMMIT');
    const slug = 'lost-commit';
    await mustBeAway(
      platform.$transaction((tx) => tx.category.create({ data: { name: 'Lost', slug } })),
      'the commit',
    );
    await muted;
    assert.equal(await platform.category.count({ where: { slug } }), 1);
    for (let i = 0; i < POOL_SIZE; i += 1) await platform.$transaction((tx) => tx.$queryRaw`select 1`);
  });
});
