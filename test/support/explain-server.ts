import { randomUUID } from 'node:crypto';
import { existsSync, readdirSync } from 'node:fs';
import { readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';

import { DATABASES } from '../../infra/config.ts';
import { type EmbeddedPostgresServer, startPostgres } from '../../infra/embedded/postgres.ts';
import { DATABASE_NAMES, provisionDatabases, urlsOn } from '../../infra/embedded/provision.ts';
import { serviceRole } from '../../infra/provision.ts';
import { seedPlatform } from '../../prisma/seed.ts';
import { query, type TestDatabases } from './databases.ts';
import { eventually } from './eventually.ts';
import type { ExplainedStatement, PlanNode } from './explain-rules.ts';
import { noteServer, serverFolder, stopAtEnd } from './servers.ts';

/** A PostgreSQL of one's own, with two sets of databases, that writes the plan of every statement into its log. */
export type ExplainingServer = Readonly<{
  databases: TestDatabases;
  /** The same, to be left with the seed alone: for what reads whole tables. */
  small: TestDatabases;
  /** From now on every statement of new connections is explained: filling tables costs less without. */
  startExplaining: () => Promise<void>;
  /** Statements that have ended since it was asked last. */
  explained: () => Promise<ExplainedStatement[]>;
}>;

/** What is filled here must neither survive a power cut nor be copied to anybody. */
const SETTINGS = {
  fsync: 'off',
  synchronous_commit: 'off',
  full_page_writes: 'off',
  wal_level: 'minimal',
  max_wal_senders: '0',
  max_wal_size: '8GB',
  checkpoint_timeout: '1h',
  shared_buffers: '512MB',
  maintenance_work_mem: '256MB',
  // Statistics are made once, when the tables are full: a plan must not depend on when somebody came by.
  autovacuum: 'off',
  jit: 'off',
  logging_collector: 'on',
  log_destination: 'jsonlog',
  log_directory: 'log',
  log_rotation_size: '0',
  log_file_mode: '0644',
};

/** Every statement, those of functions and of foreign keys too, with the rows and pages that it really read. */
const EXPLAIN = {
  session_preload_libraries: 'auto_explain',
  'auto_explain.log_min_duration': '0',
  'auto_explain.log_format': 'json',
  'auto_explain.log_nested_statements': 'on',
  'auto_explain.log_analyze': 'on',
  'auto_explain.log_buffers': 'on',
  'auto_explain.log_verbose': 'on', // names the schema of each table
  'auto_explain.log_timing': 'off',
  'auto_explain.log_parameter_max_length': '200',
};

export async function startExplainingServer(): Promise<ExplainingServer> {
  const folder = await serverFolder();
  const server = await startPostgres({ dataDir: folder, port: 0, settings: SETTINGS });
  noteServer(server, folder);
  stopAtEnd({ stop: () => server.stop().then(() => rm(folder, { recursive: true, force: true })) });
  for (const names of [DATABASE_NAMES, SMALL_NAMES]) {
    const urls = await provisionDatabases(server.adminUrl, undefined, names);
    await seedPlatform(urls.platform);
  }
  return explaining(server);
}

function explaining({
  adminUrl,
  clusterDir,
}: Pick<EmbeddedPostgresServer, 'adminUrl' | 'clusterDir'>): ExplainingServer {
  const log = new ServerLog(join(clusterDir, 'log'));
  const databases = databasesOn(adminUrl, DATABASE_NAMES);
  return {
    databases,
    small: databasesOn(adminUrl, SMALL_NAMES),
    async startExplaining() {
      for (const database of [...Object.values(DATABASE_NAMES), ...Object.values(SMALL_NAMES)]) {
        for (const [setting, value] of Object.entries(EXPLAIN)) {
          await query(adminUrl, `alter database ${database} set ${setting} = '${value}'`);
        }
      }
    },
    explained: () => log.until(databases.adminUrl('bus')),
  };
}

const named = (prefix: string): typeof DATABASE_NAMES =>
  Object.fromEntries(DATABASES.map((name) => [name, `${prefix}${DATABASE_NAMES[name]}`])) as typeof DATABASE_NAMES;
const SMALL_NAMES = named('small_');

function databasesOn(adminUrl: string, names: typeof DATABASE_NAMES): TestDatabases {
  const urlOf = urlsOn(adminUrl);
  return {
    urls: Object.fromEntries(
      DATABASES.map((name) => [name, urlOf(serviceRole(name), names[name])]),
    ) as TestDatabases['urls'],
    adminUrl(name) {
      const url = new URL(adminUrl);
      url.pathname = `/${names[name]}`;
      return url.href;
    },
    drop: () => Promise.resolve(), // they end with the server
  };
}

type LogLine = Readonly<{ dbname?: string; user?: string; message?: string; context?: string }>;
type LoggedPlan = Readonly<{ 'Query Text': string; Plan: PlanNode }>;

const DATABASE_OF = new Map(
  [DATABASE_NAMES, SMALL_NAMES].flatMap((names) =>
    DATABASES.map((database) => [names[database], { database, atScale: names === DATABASE_NAMES }] as const),
  ),
);

/** The server's log in JSON, which grows while it is read. */
class ServerLog {
  readonly #folder: string;
  #offset = 0;

  constructor(folder: string) {
    this.#folder = folder;
  }

  /** What was logged before a statement of our own, which comes last: whoever has ended before has been logged before. */
  async until(url: string): Promise<ExplainedStatement[]> {
    const mark = `'end of look ${randomUUID()}'`;
    await query(url, `select ${mark}`);
    const text = await eventually(`the server has logged ${mark}`, async () => {
      const file = this.#file();
      const logged = (await readFile(file)).subarray(this.#offset);
      const at = logged.indexOf(mark);
      const end = at < 0 ? -1 : logged.indexOf('\n', at);
      if (end < 0) return undefined;
      this.#offset += end + 1;
      return logged.subarray(0, end).toString();
    });
    return text.split('\n').flatMap((line) => statementOf(JSON.parse(line) as LogLine));
  }

  #file(): string {
    const names = existsSync(this.#folder) ? readdirSync(this.#folder).filter((name) => name.endsWith('.json')) : [];
    const [name, ...others] = names;
    if (name === undefined || others.length > 0)
      throw new Error(`one log was expected in ${this.#folder}: ${names.join()}`);
    return join(this.#folder, name);
  }
}

const PLAN = / plan:\n(?<json>\{[^]*\})$/;

function statementOf({ dbname = '', user = '', message = '' }: LogLine): ExplainedStatement[] {
  const place = DATABASE_OF.get(dbname);
  const json = PLAN.exec(message)?.groups?.['json'];
  if (place === undefined || json === undefined) return [];
  const { 'Query Text': text, Plan: plan } = JSON.parse(json) as LoggedPlan;
  return [{ ...place, asService: user.startsWith('commerce_'), text, plan }];
}
