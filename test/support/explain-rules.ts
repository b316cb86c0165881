import type { DatabaseName } from '../../infra/config.ts';

/** A node of a plan as PostgreSQL writes it in JSON: the parts that the rules look at. Rows are means of its loops. */
export type PlanNode = Readonly<{
  'Node Type': string;
  'Relation Name'?: string;
  Schema?: string;
  'Index Name'?: string;
  'Actual Rows'?: number;
  'Actual Loops'?: number;
  'Rows Removed by Filter'?: number;
  'Rows Removed by Index Recheck'?: number;
  'Shared Hit Blocks'?: number;
  'Shared Read Blocks'?: number;
  Plans?: readonly PlanNode[];
}>;

/** One execution of a statement. */
export type ExplainedStatement = Readonly<{
  database: DatabaseName;
  /** False: its database holds next to nothing, so its plan says nothing. */
  atScale: boolean;
  /** False: the superuser of the test asked. */
  asService: boolean;
  text: string;
  plan: PlanNode;
}>;

/** What is wrong with a plan, in one line. */
type Complaint = string;

/** A table is big from so many rows on: reading all of it is no way to find a few. */
export const BIG_ROWS = 100_000;
/** More rows of big tables than this are no longer "a few", by whatever index they were found. */
const MOST_ROWS = 10_000;
/**
 * Pages that one scan may touch besides those of the rows that it finds: reading a large index from one end to the other
 * finds few rows, and so do a thousand keys of which none is there.
 */
const MOST_PAGES_PER_ROW = 10;
const MOST_PAGES = 3_000;

/** Rows of each table, by `<database>.<table>`; a partition's by its own name. */
export type TableSizes = ReadonlyMap<string, number>;

/** What breaks the rules: a big table read from end to end, or an index that does not lead to the wanted rows. */
export function complaintsAbout({ database, plan }: ExplainedStatement, sizes: TableSizes): Complaint[] {
  return nodesOf(plan).flatMap((node) => {
    const table = node['Relation Name'];
    // A view that is being rebuilt has its twin, of the same names and of any size, in another schema.
    if (table === undefined || node.Schema !== 'public' || !node['Node Type'].endsWith('Scan')) return [];
    const rows = sizes.get(`${database}.${table}`) ?? 0;
    if (rows < BIG_ROWS) return [];
    if (node['Node Type'] === 'Seq Scan') return [`Seq Scan on ${table}, which has ${rows} rows`];

    const loops = node['Actual Loops'] ?? 1;
    const kept = (node['Actual Rows'] ?? 0) * loops;
    const dropped = ((node['Rows Removed by Filter'] ?? 0) + (node['Rows Removed by Index Recheck'] ?? 0)) * loops;
    const pages = (node['Shared Hit Blocks'] ?? 0) + (node['Shared Read Blocks'] ?? 0);
    const by = `${node['Node Type']}${node['Index Name'] === undefined ? '' : ` by ${node['Index Name']}`}`;
    if (kept + dropped > MOST_ROWS) return [`${by} reads ${Math.round(kept + dropped)} rows of ${table}`];
    const allowed = MOST_PAGES + MOST_PAGES_PER_ROW * Math.max(kept, loops);
    return pages > allowed ? [`${by} touches ${pages} pages of ${table} for ${Math.round(kept)} rows`] : [];
  });
}

function nodesOf(plan: PlanNode): PlanNode[] {
  return [plan, ...(plan.Plans ?? []).flatMap(nodesOf)];
}
