import assert from 'node:assert/strict';

import { ensureGroup, positionsBehind, readLog } from '../../events/bus/embedded-tables.ts';
import { pruneLog, type PruneLogOptions } from '../../events/bus/prune.ts';
import { unread } from '../../events/bus/switch.ts';
import { type Databases, openBus } from '../../infra/databases.ts';
import { freshDatabases, query, type TestDatabases } from '../support/databases.ts';
import { openTransaction } from '../support/transaction.ts';

const KEEP_DAYS = 90;

describe('pruning the log of the bus', () => {
  let databases: TestDatabases;
  let bus: Databases['bus'];
  beforeEach(async () => {
    databases = await freshDatabases();
    bus = openBus(databases.urls.bus, { poolSize: 3 });
  });
  afterEach(async () => {
    await bus.$disconnect();
    await databases.drop();
  });

  const asAdmin = (sql: string, values: unknown[] = []) =>
    query<Record<string, unknown>>(databases.adminUrl('bus'), sql, values);
  const prune = (options: Partial<PruneLogOptions> = {}) =>
    pruneLog(
      { bus },
      {
        ...{ keepDays: KEEP_DAYS, dryRun: false, readBy: [], pauseMs: 0 },
        ...{ signal: new AbortController().signal, onPruned: () => undefined },
        ...options,
      },
    );
  /** `n` events of `monthsAgo` months ago, in the middle of that month; with a partition of the month, or without. */
  const past = async (monthsAgo: number, n: number, { partition = true } = {}): Promise<string> => {
    if (partition) await asAdmin(`select create_event_log_month((now() - $1 * interval '1 month')::date)`, [monthsAgo]);
    const [row] = await asAdmin(
      `with made as (
         insert into event_log (appended_at, source, event_id, type, subject, aggregate_version, envelope)
         select date_trunc('month', now() at time zone 'utc') at time zone 'utc' - $1 * interval '1 month'
             + interval '14 days', 'order', gen_random_uuid(), 'OrderPaid', 'order/' || $1 || '/' || i, 1, '{}'
         from generate_series(1, $2) as i returning appended_at)
       select 'event_log_' || to_char(max(appended_at) at time zone 'utc', 'YYYY_MM') as part from made`,
      [monthsAgo, n],
    );
    return String(row?.['part']);
  };
  const readTo = (group: string, position: number) =>
    asAdmin('insert into group_offsets (group_name, position) values ($1, $2)', [group, position]);
  const positions = async (): Promise<number[]> =>
    (await asAdmin('select position::int from event_log order by position')).map(({ position }) => Number(position));
  const partitions = async (): Promise<string[]> =>
    (
      await asAdmin(`select relname from pg_inherits join pg_class c on c.oid = inhrelid
      where inhparent = 'event_log'::regclass order by 1`)
    ).map(({ relname }) => String(relname));

  it('drops whole months that are old and that every group has read, and keeps the others', async () => {
    const oldest = await past(6, 3);
    const older = await past(5, 2);
    const young = await past(1, 2);
    const last = await past(0, 1);
    await readTo('view-orders', 8);
    await readTo('view-sales', 5);
    const told: [string, number][] = [];

    const { tables, held } = await prune({ onPruned: (table, rows) => told.push([table, rows]) });
    const expected = [
      { table: oldest, rows: 3 },
      { table: older, rows: 2 },
    ];
    assert.deepEqual(tables, expected);
    assert.deepEqual(told, [
      [oldest, 3],
      [older, 2],
    ]);
    assert.deepEqual(held, []);
    assert.deepEqual(await positions(), [6, 7, 8]);
    const left = await partitions();
    assert.deepEqual([left.includes(oldest), left.includes(older)], [false, false]);
    assert.deepEqual([left.includes(young), left.includes(last)], [true, true]);
    assert.deepEqual(await prune(), { tables: [], held: [] });
  });

  it('says what would go, and changes nothing', async () => {
    const oldest = await past(6, 3);
    await past(0, 1);
    await readTo('view-orders', 4);
    const before = [await positions(), await partitions()];
    assert.deepEqual(await prune({ dryRun: true }), { tables: [{ table: oldest, rows: 3 }], held: [] });
    assert.deepEqual([await positions(), await partitions()], before);
  });

  it('keeps a month that one group has not read to its end, and names the group with what to do', async () => {
    const oldest = await past(6, 3);
    const older = await past(5, 2);
    await past(0, 1);
    await readTo('view-orders', 6);
    await readTo("it's forgotten", 4);

    const { tables, held } = await prune();
    assert.deepEqual(tables, [{ table: oldest, rows: 3 }]);
    assert.equal(held.length, 1);
    assert.equal(held[0]?.table, older);
    assert.match(
      held[0]?.why ?? '',
      /^group it's forgotten has not read it: 2 events behind, and nobody has read for it since 2/,
    );
    assert.match(held[0]?.fix ?? '', /delete from group_offsets where group_name = 'it''s forgotten'$/);
    assert.deepEqual(await positions(), [4, 5, 6]);

    // The fix that was told works, with the rights of the service.
    await query(databases.urls.bus, held[0]?.fix.replace(/^.*: (?=delete)/, '') ?? '');
    assert.deepEqual((await prune()).tables, [{ table: older, rows: 2 }]);
  });

  it('keeps all while no group has ever read, and while a view is rebuilt from it', async () => {
    await past(6, 2);
    await past(0, 1);
    assert.deepEqual((await prune()).tables, []);
    assert.match((await prune()).held[0]?.why ?? '', /no group has ever read/);
    await readTo('view-orders', 3);
    const { tables, held } = await prune({ readBy: ['orders', 'sales'] });
    assert.deepEqual(tables, []);
    assert.match(held[0]?.why ?? '', /orders, sales are being rebuilt from it/);
    assert.deepEqual(await positions(), [1, 2, 3]);
  });

  it('keeps the month of the newest event, so that everybody still knows where the log ends', async () => {
    const newest = await past(4, 3);
    await readTo('view-orders', 3);
    assert.deepEqual(await prune(), { tables: [], held: [] });
    assert.ok((await partitions()).includes(newest));
    assert.deepEqual(await positions(), [1, 2, 3]);
  });

  it('deletes old rows of months without a partition in batches, up to where every group has read', async () => {
    await past(6, 25, { partition: false });
    await past(0, 5);
    await readTo('view-orders', 30);
    await readTo('view-sales', 17);
    const told: number[] = [];
    const { tables, held } = await prune({ batchRows: 10, onPruned: (_, rows) => told.push(rows) });
    assert.deepEqual(tables, [{ table: 'event_log_default', rows: 17 }]);
    assert.deepEqual(told, [10, 7]);
    assert.match(held[0]?.why ?? '', /^group view-sales has not read it/);
    assert.deepEqual(await positions(), [18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30]);

    await asAdmin('update group_offsets set position = 30');
    assert.deepEqual(await prune({ dryRun: true }), { tables: [{ table: 'event_log_default', rows: 8 }], held: [] });
    assert.deepEqual((await prune()).tables, [{ table: 'event_log_default', rows: 8 }]);
    assert.deepEqual(await positions(), [26, 27, 28, 29, 30]);
  });

  it('takes events off the beginning alone, wherever they are', async () => {
    await past(7, 2);
    await past(6, 2, { partition: false });
    await past(5, 2);
    await past(0, 1);
    await readTo('view-orders', 3);
    await prune();
    assert.deepEqual(await positions(), [4, 5, 6, 7], 'the month behind what was not read had to stay');
  });

  it('counts no event as unread that is not there any more, and lets groups go on', async () => {
    await past(6, 3);
    await past(0, 2);
    await readTo('view-orders', 4);
    await prune();
    assert.equal(await positionsBehind(bus, 'view-orders'), 1);
    await ensureGroup(bus, 'new', 'earliest');
    assert.equal(await positionsBehind(bus, 'new'), 2);
    assert.deepEqual(
      [...(await unread(bus))],
      [
        ['new', 2],
        ['view-orders', 1],
      ],
    );
    assert.deepEqual(
      (await readLog(bus, 0n, 10)).map(({ position }) => position),
      [4n, 5n],
    );
  });

  it('lets two at once do it together, each event once', async () => {
    for (let month = 9; month > 4; month--) await past(month, 2);
    await past(0, 1);
    await readTo('view-orders', 11);
    const both = await Promise.all([prune(), prune()]);
    const rows = both.flatMap(({ tables }) => tables).reduce((sum, one) => sum + one.rows, 0);
    assert.equal(rows, 10);
    assert.deepEqual(await positions(), [11]);
  });

  it('leaves a month to the next run when somebody reads the log for a long time, and holds up no append', async () => {
    const oldest = await past(6, 2);
    await past(0, 1);
    await readTo('view-orders', 3);
    await asAdmin("select create_event_log_month((now() + interval '1 month')::date)");
    const reader = await openTransaction(databases.adminUrl('bus'));
    try {
      await reader.query('select count(*) from event_log', []);
      const pruning = prune();
      await past(0, 1);
      const { tables, held } = await pruning;
      assert.deepEqual(tables, []);
      const why = 'somebody reads the log for a long time, such as an audit';
      assert.deepEqual(held, [{ table: oldest, why, fix: 'none is needed: the next run takes it' }]);
    } finally {
      await reader.commit();
    }
    assert.deepEqual((await prune()).tables, [{ table: oldest, rows: 2 }]);
  });

  it('makes the months that will be needed', async () => {
    await prune();
    const wanted = await asAdmin(
      `select 'event_log_' || to_char(now() at time zone 'utc' + n * interval '1 month', 'YYYY_MM') as part
       from generate_series(0, 1) as n`,
    );
    const there = await partitions();
    for (const { part } of wanted) assert.ok(there.includes(String(part)), String(part));
  });
});
