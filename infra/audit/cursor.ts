import type { Snapshot } from './snapshot.ts';

const PAGE = 5_000;

/**
 * The rows of a query one after the other, read page by page: memory does not grow with their number.
 *
 * @param cursor its name, which no other has that is read at the same time from the same snapshot
 */
export async function* rowsOf<Row extends Record<string, unknown>>(
  from: Snapshot,
  cursor: string,
  select: string,
): AsyncGenerator<Row, undefined> {
  await from.query(`declare ${cursor} no scroll cursor for ${select}`);
  for (;;) {
    const rows = await from.query<Row>(`fetch ${PAGE} from ${cursor}`);
    yield* rows;
    if (rows.length < PAGE) break;
  }
  await from.query(`close ${cursor}`);
}

/** For a cursor, which takes no parameters. What comes here is ours: names, settings, and instants of the database. */
export const literal = (text: string | null): string => (text === null ? 'null' : `'${text.replaceAll("'", "''")}'`);
