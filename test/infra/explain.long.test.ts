import assert from 'node:assert/strict';

import { openViews } from '../../infra/databases.ts';
import { readOrders } from '../../projections/read-orders.ts';
import { query } from '../support/databases.ts';
import { generate, generatedId, tableSizes } from '../support/explain-data.ts';
import { exceptionFor, EXCEPTIONS, SMALL_TABLES } from '../support/explain-exceptions.ts';
import { BIG_ROWS, complaintsAbout, type ExplainedStatement, type TableSizes } from '../support/explain-rules.ts';
import { type ExplainingServer, startExplainingServer } from '../support/explain-server.ts';
import { modelsInSchemas, sqlIn, sqlInSources, type SqlSite, squeezed } from '../support/explain-sites.ts';
import { workAll } from '../support/explain-work.ts';

/** On a quiet machine a minute. */
const LIMIT_MS = 900_000;
const MILLION = 1_000_000;

describe('the plans of all statements, on a million rows', function () {
  this.timeout(LIMIT_MS);
  let server: ExplainingServer;
  let sizes: TableSizes;
  let texts: Texts;

  before(async () => {
    server = await startExplainingServer();
    await generate(server.databases);
    sizes = await tableSizes(server.databases);
    await server.startExplaining();
    await workAll(server);
    texts = byText(await server.explained());
  });

  it('are made for more than a million rows, in every table that grows', () => {
    const total = [...sizes.values()].reduce((sum, rows) => sum + rows, 0);
    assert.ok(total > MILLION, `${total} rows`);
    const filled = [...sizes].filter(([name]) => !name.startsWith('gateway.'));
    const small = filled.filter(([, rows]) => rows < BIG_ROWS).map(([name]) => name.replace(/^\w+\./, ''));
    assert.deepEqual([...new Set(small)].sort(), Object.keys(SMALL_TABLES).sort());
  });

  it('read no big table from end to end, and no more rows than they need', () => {
    const { sites } = sqlInSources();
    const bad = [...texts].flatMap(([text, statements]) => {
      const own = sites.filter(({ pattern }) => pattern.test(text));
      const nearest = nearestOf(own);
      if (nearest !== undefined && exceptionFor(nearest) !== undefined) return [];
      const judged = statements.filter(({ atScale, asService }) => atScale && asService);
      const complaints = new Set(judged.flatMap((one) => complaintsAbout(one, sizes)));
      const where = own.map(({ at, name }) => `${at} ${name}`).join(', ');
      return complaints.size === 0 ? [] : [`${where === '' ? text : where}: ${[...complaints].slice(0, 3).join('; ')}`];
    });
    assert.deepEqual(bad, []);
  });

  it('are those of every statement in the sources', () => {
    const { sites, modelCalls } = sqlInSources();
    assert.ok(sites.length > 250, `only ${sites.length} statements were found in the sources`);
    const missed = missedAmong(sites, texts);
    assert.deepEqual(
      missed.map(({ at, name, text }) => `${at} ${name}: ${squeezed(text).slice(0, 80)}`),
      [],
    );
    const models = modelsInSchemas();
    const unseen = modelCalls.filter((call) => {
      const table = exceptionFor(call)?.kind === 'set-up' ? undefined : models.get(call.model);
      return table !== undefined && ![...texts.keys()].some((text) => text.includes(`FROM "public"."${table}"`));
    });
    assert.deepEqual(unseen, []);
  });

  it('would be missed of a statement that nobody runs', () => {
    const { sites } = sqlIn('a.ts', 'const a = (tx: Db) => tx.$queryRaw`select 1 from orders where id = ${nobody}`;');
    assert.deepEqual(
      missedAmong(sites, texts).map(({ at, name }) => `${at} ${name}`),
      ['a.ts:1 a'],
    );
  });

  it('are excused by the site that says most of them alone, not by one that reads whatever table', () => {
    const { sites } = sqlIn(
      'a.ts',
      'const a = (tx: Db) => [tx.$queryRaw`select count(*) as n from ${any} where ${some}`,' +
        ' tx.$queryRaw`select count(*) as n from mv_orders where status = ${s}`];',
    );
    const text = 'select count(*) as n from mv_orders where status = $1';
    assert.equal(sites.filter(({ pattern }) => pattern.test(text)).length, 2);
    assert.equal(nearestOf(sites), sites[1]);
  });

  it('need every exception that is made', () => {
    const { sites, modelCalls } = sqlInSources();
    const idle = EXCEPTIONS.filter(
      (exception) => ![...sites, ...modelCalls].some((site) => exceptionFor(site) === exception),
    );
    assert.deepEqual(
      idle.map(({ why }) => why),
      [],
    );
  });

  it('show the table whose index was dropped', async () => {
    await query(server.databases.adminUrl('views'), 'drop index ix_mv_orders_user');
    const views = openViews(server.databases.urls.views, { poolSize: 1 });
    try {
      await readOrders(views, { userId: generatedId(1), status: undefined, after: undefined, limit: 20 });
    } finally {
      await views.$disconnect();
    }
    const complaints = (await server.explained()).flatMap((one) => complaintsAbout(one, sizes));
    assert.equal(complaints.length, 1);
    assert.match(complaints.join(), /(Seq Scan on|rows of) mv_orders/);
  });
});

type Texts = ReadonlyMap<string, readonly ExplainedStatement[]>;

function byText(statements: readonly ExplainedStatement[]): Texts {
  const texts = new Map<string, ExplainedStatement[]>();
  for (const statement of statements) {
    const text = squeezed(statement.text);
    const known = texts.get(text);
    if (known === undefined) texts.set(text, [statement]);
    else known.push(statement);
  }
  return texts;
}

/** Of the sites that a statement matches the one that says most of it: one that counts whatever table matches many. */
const nearestOf = (sites: readonly SqlSite[]): SqlSite | undefined =>
  sites.toSorted((a, b) => b.pattern.source.length - a.pattern.source.length)[0];

/** What was not run at scale; of what may read whole tables, what was not run at all. */
function missedAmong(sites: readonly SqlSite[], texts: Texts): SqlSite[] {
  return sites.filter((site) => {
    const kind = exceptionFor(site)?.kind;
    if (kind === 'set-up') return false;
    return ![...texts].some(
      ([text, statements]) =>
        site.pattern.test(text) &&
        statements.some(({ atScale, asService }) => asService && (atScale || kind === 'scans')),
    );
  });
}
