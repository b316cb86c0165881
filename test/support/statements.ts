import pg from 'pg';

/** A pool of one connection that writes down every statement it sends, `BEGIN` and `COMMIT` too. */
export function recordingPool(url: string) {
  const statements: string[] = [];
  const pool = new pg.Pool({ connectionString: url, max: 1 });
  pool.on('connect', (client) => {
    const send: (...args: unknown[]) => unknown = client.query.bind(client);
    const query = (...args: unknown[]): unknown => {
      statements.push(textOf(args[0]));
      return send(...args);
    };
    Object.assign(client, { query });
  });
  return {
    pool,
    /** Writes down something else that happened among the statements. */
    note: (what: string): void => {
      statements.push(what);
    },
    /** What the work sent, in order, without the parameters. */
    sentBy: async (work: () => Promise<unknown>): Promise<string[]> => {
      statements.length = 0;
      await work();
      return [...statements];
    },
  };
}

function textOf(query: unknown): string {
  if (typeof query === 'string') return query;
  if (typeof query === 'object' && query !== null && 'text' in query && typeof query.text === 'string')
    return query.text;
  throw new Error('a statement without a text was sent');
}
