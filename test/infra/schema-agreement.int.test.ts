import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';

import { type DatabaseName, DATABASES } from '../../infra/config.ts';
import { withSchemaEngine } from '../../infra/schema-engine.ts';
import { freshDatabases, query, scratchDatabase, type TestDatabases } from '../support/databases.ts';

/**
 * The migrations make the tables, the Prisma schemas make the clients. A database made from each must look the same, but
 * for what Prisma cannot say. `SHAPE` writes each such thing in one way for both:
 *
 * - identity columns, for which Prisma makes a sequence and a default: both read `generated id`
 * - `now()`, which Prisma calls CURRENT_TIMESTAMP
 * - expressions of generated columns: left out, the catalogue test holds them
 * - NULLS NOT DISTINCT and partitioning: left out of an index's definition
 * - partial indexes, CHECKs, triggers, grants: not compared, only the catalogue test knows them
 */
describe('migrations and Prisma schemas', () => {
  let databases: TestDatabases;
  before(async () => {
    databases = await freshDatabases();
  });
  after(() => databases.drop());

  for (const name of DATABASES) {
    it(`agree on every column, key and index of ${name}`, async () => {
      const migrated = await shapeOf(databases.adminUrl(name));
      const fromSchema = await shapeOfSchema(name);
      assert.ok(migrated.length > 10, 'a shape this small compares nothing');
      assert.deepEqual(migrated, fromSchema);
    });
  }

  it('are found to differ when a column is missing in one of them', async () => {
    await query(databases.adminUrl('order'), 'alter table orders drop column failure_message');
    assert.notDeepEqual(await shapeOf(databases.adminUrl('order')), await shapeOfSchema('order'));
  });
});

const shapeOf = async (url: string): Promise<string[]> =>
  (await query<{ line: string }>(url, SHAPE)).map(({ line }) => line);

async function shapeOfSchema(name: DatabaseName): Promise<string[]> {
  const content = await readFile(new URL(`../../prisma/${name}/schema.prisma`, import.meta.url), 'utf8');
  const scratch = await scratchDatabase();
  try {
    const script = await withSchemaEngine(scratch.url, (engine) => scriptFor(engine, content), content);
    await query(scratch.url, script);
    return await shapeOf(scratch.url);
  } finally {
    await scratch.drop();
  }
}

async function scriptFor(
  engine: Parameters<Parameters<typeof withSchemaEngine>[1]>[0],
  content: string,
): Promise<string> {
  const { stdout } = await engine.diff({
    from: { tag: 'empty' },
    to: { tag: 'schemaDatamodel', files: [{ path: 'schema.prisma', content }] },
    script: true,
    exitCode: null,
    filters: { externalTables: [], externalEnums: [] },
  });
  assert.ok(stdout, 'the engine wrote no script');
  return stdout;
}

const SHAPE = `
  with ours as (
    select oid, relname from pg_class
    where relnamespace = 'public'::regnamespace and relkind in ('r', 'p') and not relispartition
      and relname <> '_prisma_migrations'
  ), shape (line) as (
    select format('%s.%s %s%s%s', relname, attname, format_type(atttypid, atttypmod),
      case when attnotnull then ' not null' else '' end,
      case
        when attidentity <> '' or pg_get_expr(adbin, adrelid) like 'nextval(%' then ' generated id'
        when attgenerated <> '' or adbin is null then ''
        else ' default ' || replace(pg_get_expr(adbin, adrelid), 'CURRENT_TIMESTAMP', 'now()')
      end)
    from pg_attribute join ours on ours.oid = attrelid left join pg_attrdef on adrelid = attrelid and adnum = attnum
    where attnum > 0 and not attisdropped
    union all
    select replace(replace(pg_get_indexdef(indexrelid), ' NULLS NOT DISTINCT', ''), ' ON ONLY ', ' ON ')
    from pg_index join ours on ours.oid = indrelid where indpred is null
    union all
    select format('%s: %s %s', relname, conname, pg_get_constraintdef(c.oid))
    from pg_constraint c join ours on ours.oid = conrelid where contype in ('p', 'f')
  )
  select line from shape order by line collate "C"`;
