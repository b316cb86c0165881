import type { HandleEvents } from '../../events/bus/bus.ts';
import { subjectOf } from '../../events/stored-event.ts';
import { query } from './databases.ts';

/** A consumer as ours are: it stores its effect and that it has seen the event in one statement, so twice is once. */
export class Inbox {
  deliveries = 0;
  readonly #url: string;

  private constructor(url: string) {
    this.#url = url;
  }

  /** @param url of a database whose role may make tables */
  static async open(url: string): Promise<Inbox> {
    await query(
      url,
      `create table inbox_effects (n bigint generated always as identity, event_id text primary key,
         subject text not null, version int not null)`,
    );
    return new Inbox(url);
  }

  readonly handle: HandleEvents = async (batch) => {
    this.deliveries += batch.length;
    const rows = batch.map((event) => ({ id: event.id, subject: subjectOf(event), version: event.aggregateVersion }));
    await query(
      this.#url,
      `insert into inbox_effects (event_id, subject, version)
       select e ->> 'id', e ->> 'subject', (e ->> 'version')::int
       from jsonb_array_elements($1::jsonb) with ordinality as a(e, position)
       order by position
       on conflict do nothing`,
      [JSON.stringify(rows)],
    );
  };

  async count(): Promise<number> {
    const [row] = await query<{ n: number }>(this.#url, 'select count(*)::int as n from inbox_effects');
    return row?.n ?? 0;
  }

  /** Versions of each subject in the order of their effects. */
  async versions(): Promise<Record<string, number[]>> {
    const rows = await query<{ subject: string; versions: number[] }>(
      this.#url,
      'select subject, array_agg(version order by n) as versions from inbox_effects group by subject',
    );
    return Object.fromEntries(rows.map(({ subject, versions }) => [subject, versions]));
  }
}
