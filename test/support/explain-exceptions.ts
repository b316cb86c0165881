import type { SqlSite } from './explain-sites.ts';

/** Statements that may read a big table from end to end, or need not be run, and why. */
type Exception = Readonly<{
  file: RegExp;
  /** Functions and constants in it; all when absent. */
  names?: readonly string[];
  /** `scans`: it must have been run, on however few rows. `set-up`: it need not be run, it knows none of our tables. */
  kind: 'scans' | 'set-up';
  why: string;
}>;

export const EXCEPTIONS: readonly Exception[] = [
  {
    ...{ file: /^infra\/(migrate|provision)\.ts$|^infra\/embedded\//, kind: 'set-up' },
    why: 'sets a server up: it reads the catalogue, and runs before there are rows',
  },
  {
    ...{ file: /^events\/bus\/kafka\.ts$/, kind: 'set-up' },
    why: 'needs a broker, and reads one row of a small table by its key',
  },
  {
    ...{ file: /^infra\/audit\/stock\.ts$/, kind: 'scans' },
    why: 'the audit folds the whole ledger of stock, and its repair compares all of it',
  },
  {
    ...{ file: /^infra\/audit\/rebuild\.ts$/, kind: 'scans' },
    why: 'repairs what the fold of the whole ledger found, a few rows at a time',
  },
  {
    ...{ file: /^infra\/audit\/outbox-rules\.ts$/, names: ['gapsInOutbox', 'countEvents'], kind: 'scans' },
    why: 'the audit looks for gaps in every aggregate',
  },
  {
    ...{ file: /^infra\/audit\/event-log\.ts$/, names: ['disorderInLog', 'differencesWithLog'], kind: 'scans' },
    why: 'the audit compares every event of every outbox with the whole log',
  },
  {
    ...{ file: /^infra\/audit\/events-on-kafka\.ts$/, names: ['withoutTheirPredecessor'], kind: 'scans' },
    why: 'only where Kafka lacks events: the log is read once, and an index of it would be paid by every append',
  },
  {
    ...{ file: /^infra\/audit\/refund-answers\.ts$/, kind: 'scans' },
    why: 'the audit compares every request for a refund with its refund, in one statement',
  },
  {
    ...{ file: /^infra\/audit\/money\.ts$/, names: ['countCharges'], kind: 'scans' },
    why: 'the audit counts all payments, to know in how many parts memory can hold them',
  },
  {
    ...{ file: /^infra\/audit\/(cursor|views-(rows|users|products|orders|payments|sales))\.ts$/, kind: 'scans' },
    why: 'the audit reads each view and its sources once, side by side',
  },
  {
    ...{ file: /^projections\/compare\.ts$/, names: ['inboxDifference'], kind: 'scans' },
    why: 'a rebuild compares two whole inboxes before it may take the place of the live view',
  },
  {
    ...{ file: /^activities\/payments\/prune-webhooks\.ts$/, kind: 'scans' },
    why: 'upkeep takes thousands of rows at once: to read the table once may cost less than to look each of them up',
  },
  {
    ...{ file: /^projections\/prune-inbox\.ts$/, names: ['forget', 'countOld'], kind: 'scans' },
    why: 'upkeep takes thousands of rows at once: to read the table once may cost less than to look each of them up',
  },
  {
    ...{ file: /^events\/bus\/carrier\.ts$/, names: ['leaveUnusedLog'], kind: 'scans' },
    why: 'it only asks whether there is any row, and the first one will do',
  },
];

export const exceptionFor = (site: Pick<SqlSite, 'file' | 'name'>): Exception | undefined =>
  EXCEPTIONS.find(({ file, names }) => file.test(site.file) && (names === undefined || names.includes(site.name)));

/** Tables that stay small however long the shop is open, and why; all others are filled. */
export const SMALL_TABLES: Readonly<Record<string, string>> = {
  _prisma_migrations: 'one row for each migration',
  categories: 'a tree that people make by hand',
  outbox_leases: 'one row for each of sixteen partitions',
  mv_daily_sales: 'one row for each day and currency',
  projection_offsets: 'one row for each view and service',
  projection_progress: 'one row for each view',
  projection_rebuilds: 'one row for each view that is being rebuilt',
  event_log_default: 'catches events whose month has no partition, which is made before it begins',
  bus_carrier: 'one row',
  group_offsets: 'one row for each group of consumers',
  redrive_leases: 'one row for each group of consumers',
};
