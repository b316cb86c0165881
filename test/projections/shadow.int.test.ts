import assert from 'node:assert/strict';

import { VIEW_NAMES } from '../../projections/view.ts';
import { freshDatabases, query, type TestDatabases } from '../support/databases.ts';

/** Everything that PostgreSQL says about the tables of a schema, with the schema's name left out. */
const SHAPE = `
  select relname as name, array(
    select format('%s %s %s', attname, format_type(atttypid, atttypmod), attnotnull)
    from pg_attribute where attrelid = c.oid and attnum > 0 and not attisdropped order by attname
  ) as columns, array(
    select conname || ' ' || pg_get_constraintdef(oid) from pg_constraint where conrelid = c.oid order by 1
  ) as constraints, array(
    select replace(pg_get_indexdef(indexrelid), $1 || '.', '') from pg_index where indrelid = c.oid order by 1
  ) as indexes, relacl::text as grants
  from pg_class c where relnamespace = $1::regnamespace and relkind = 'r' and relname = any ($2) order by relname`;

describe('the tables of a rebuild', () => {
  let databases: TestDatabases;
  before(async () => {
    databases = await freshDatabases();
  });
  after(() => databases.drop());

  for (const view of VIEW_NAMES) {
    it(`are made, exchanged and dropped by the service itself, which owns none, and are as the live ones: ${view}`, async () => {
      const [tables] = await query<{ names: string[] }>(
        databases.adminUrl('views'),
        'select view_tables($1) as names',
        [view],
      );
      const shapeOf = (schema: string) => query(databases.adminUrl('views'), SHAPE, [schema, tables?.names]);
      const live = await shapeOf('public');
      assert.equal(live.length, tables?.names.length);

      const asService = (sql: string) => query(databases.urls.views, sql, [view]);
      await asService('select open_shadow($1)');
      assert.deepEqual(await shapeOf('shadow'), live);
      await asService('select open_shadow($1)'); // again, as after a crash
      await asService('select swap_shadow($1)');
      assert.deepEqual(await shapeOf('public'), live);
      assert.deepEqual(await shapeOf('shadow'), []);

      await asService('select open_shadow($1)');
      await asService('select drop_shadow($1)');
      assert.deepEqual(await shapeOf('shadow'), []);
    });
  }
});
