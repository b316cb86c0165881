import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';

import { DATABASES } from '../../infra/config.ts';
import { freshDatabases, query, type TestDatabases } from '../support/databases.ts';

/**
 * `catalogue/<database>.txt` is the written-down promise, beside the migrations: what PostgreSQL itself refuses, computes
 * and forbids. Change it by hand, together with a migration, and never to please a test.
 */
const promised = (name: string): string =>
  readFileSync(new URL(`./catalogue/${name}.txt`, import.meta.url), 'utf8').trim();

describe('the rules that live in the databases', () => {
  let databases: TestDatabases;
  before(async () => {
    databases = await freshDatabases();
  });
  after(() => databases.drop());

  for (const name of DATABASES) {
    it(`has every constraint, partial index, trigger and generated column of ${name}, and none more`, async () => {
      const rows = await query<{ line: string }>(databases.adminUrl(name), RULES);
      assert.equal(rows.map(({ line }) => line).join('\n'), promised(name));
    });
  }

  it('keeps the rules that everything rests on, whatever the lists above say', () => {
    assert.match(promised('platform'), /^inventory_snapshots: uk_inventory_location UNIQUE NULLS NOT DISTINCT/m);
    assert.match(
      promised('platform'),
      /^inventory_snapshots: chk_inventory_snapshots_available .*available_quantity >= 0/m,
    );
    assert.match(
      promised('platform'),
      /^inventory_snapshots: chk_inventory_snapshots_reserved .*reserved_quantity >= 0/m,
    );
    assert.match(promised('platform'), /^inventory_events: uk_inventory_corr UNIQUE \(correlation_id\)$/m);
    assert.match(
      promised('platform'),
      /^inventory_events: uk_inventory_agg UNIQUE \(aggregate_id, aggregate_version\)$/m,
    );
    assert.match(promised('payment'), /^payments: CREATE UNIQUE INDEX uk_payments_live .* \(order_id\) WHERE/m);
    assert.match(promised('payment'), /^payments: payments_idempotency_key_key UNIQUE \(idempotency_key\)$/m);
    for (const name of ['platform', 'order', 'payment']) {
      assert.match(promised(name), /^outbox: outbox_event_id_key UNIQUE \(event_id\)$/m);
    }
  });
});

const RULES = `
  with ours as (
    select oid, relname from pg_class
    where relnamespace = 'public'::regnamespace and relkind in ('r', 'p') and not relispartition
      and relname <> '_prisma_migrations'
  ), rules as (
    select relname, conname || ' ' || pg_get_constraintdef(c.oid) as rule
    from pg_constraint c join ours on ours.oid = conrelid where contype in ('p', 'u', 'f', 'c', 'x')
    union all
    select relname, pg_get_indexdef(indexrelid) from pg_index join ours on ours.oid = indrelid where indpred is not null
    union all
    select relname, pg_get_triggerdef(t.oid) || case tgenabled when 'O' then '' else ' DISABLED' end
    from pg_trigger t join ours on ours.oid = tgrelid where not tgisinternal
    union all
    select relname, attname || ' GENERATED ' || pg_get_expr(adbin, adrelid)
    from pg_attribute join ours on ours.oid = attrelid join pg_attrdef on adrelid = attrelid and adnum = attnum
    where attgenerated = 's'
  )
  select line from (select relname || ': ' || regexp_replace(rule, '\\s+', ' ', 'g') from rules) as r (line)
  order by line collate "C"`;
