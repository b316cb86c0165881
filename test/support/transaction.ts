import pg from 'pg';

export type OpenTransaction = Readonly<{
  query: (text: string, values: unknown[]) => Promise<void>;
  commit: () => Promise<void>;
}>;

/** A transaction on its own connection that commits when the test wants it to. */
export async function openTransaction(url: string): Promise<OpenTransaction> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  await client.query('begin');
  return {
    async query(text, values) {
      await client.query(text, values);
    },
    async commit() {
      await client.query('commit');
      await client.end();
    },
  };
}
