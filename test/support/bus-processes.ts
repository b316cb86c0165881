import { inheritedEnvironment } from '../../infra/inherited-environment.ts';
import type { BusFixture, BusRun } from './bus.ts';
import { type Child, startChild } from './child.ts';
import { query } from './databases.ts';
import { eventually } from './eventually.ts';

const CONSUMER = 'test/events/processes/bus-consumer.ts';
const BATCH_SIZE = 10;
const EFFECTS_LIMIT_MS = 60_000;

/** Consumers of one group as processes of their own, and what they have done. */
export class BusProcesses {
  readonly #fixture: BusFixture;
  readonly #run: BusRun;
  readonly #url: string;
  readonly #children: Child[] = [];

  private constructor(fixture: BusFixture, run: BusRun) {
    this.#fixture = fixture;
    this.#run = run;
    this.#url = fixture.databases.adminUrl('views');
  }

  static async open(fixture: BusFixture, run: BusRun): Promise<BusProcesses> {
    const processes = new BusProcesses(fixture, run);
    for (const [table, key] of [
      ['deliveries', ''],
      ['effects', ', primary key (event_id)'],
    ]) {
      await query(
        processes.#url,
        `create table if not exists ${table} (n bigint generated always as identity, event_id text not null,
           subject text not null, version int not null, pid int not null${key})`,
      );
    }
    return processes;
  }

  /** @param sleepMs milliseconds between being given a batch and its effect */
  async start(sleepMs: number): Promise<Child> {
    const env = { ...inheritedEnvironment(), ...this.#fixture.env, LOG_LEVEL: 'warn' };
    const args = [this.#url, this.#run.group(), this.#run.aggregatePrefix, String(BATCH_SIZE), String(sleepMs)];
    const child = await startChild(CONSUMER, env, args);
    this.#children.push(child);
    return child;
  }

  /** Waits until somebody has a batch without its effect, after some that have. @returns the process id */
  async untilInHand(): Promise<number> {
    const row = await eventually('a batch is in hand', async () => {
      const [first] = await query<{ pid: number }>(
        this.#url,
        `select pid from deliveries d
         where subject like $1 and not exists (select from effects e where e.event_id = d.event_id)
           and exists (select from effects e where e.subject like $1 and e.pid = d.pid)
         order by n desc limit 1`,
        [this.#pattern],
      );
      return first;
    });
    return row.pid;
  }

  /** Events that a process was given and that have no effect yet. */
  async inHand(pid: number): Promise<string[]> {
    const rows = await query<{ event_id: string }>(
      this.#url,
      `select event_id from deliveries d
       where pid = $2 and subject like $1 and not exists (select from effects e where e.event_id = d.event_id)`,
      [this.#pattern, pid],
    );
    return rows.map((row) => row.event_id);
  }

  untilEffects = (count: number): Promise<true> =>
    eventually(
      `${count} events have their effect`,
      async () => {
        const sql = 'select count(*)::int as n from effects where subject like $1';
        const [row] = await query<{ n: number }>(this.#url, sql, [this.#pattern]);
        return row?.n === count ? true : undefined;
      },
      EFFECTS_LIMIT_MS,
    );

  /** Versions of a subject in the order of their effects. */
  async effects(name: string): Promise<number[]> {
    const sql = 'select version from effects where subject = $1 order by n';
    const rows = await query<{ version: number }>(this.#url, sql, [this.#run.subject(name)]);
    return rows.map(({ version }) => version);
  }

  async close(): Promise<void> {
    for (const child of this.#children) {
      child.signal('SIGCONT');
      await child.kill();
    }
  }

  get #pattern(): string {
    return `${this.#run.subject('')}%`;
  }
}
