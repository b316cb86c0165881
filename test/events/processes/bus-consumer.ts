import { setTimeout as sleep } from 'node:timers/promises';

import pg from 'pg';

import { openBus } from '../../../events/bus/open-bus.ts';
import { subjectOf } from '../../../events/stored-event.ts';
import { runProcess } from '../../../infra/process.ts';

/**
 * A consumer of the bus of the settings, to be killed or frozen between being given a batch and its effect. It notes
 * every delivery, then sleeps, then makes the effect of what has none yet, as a consumer with an inbox does.
 *
 * Arguments: the URL of a database with `deliveries` and `effects`, the group, what its events' aggregates begin with,
 * events in a batch, milliseconds of sleep.
 */
const [url, group = '', prefix = '', batchSize = '10', sleepMs = '0'] = process.argv.slice(2);

await runProcess('bus-consumer', async (config, log) => {
  const database = new pg.Client({ connectionString: url });
  await database.connect();
  const bus = await openBus(config, log);
  const subscription = await bus.subscribe(
    group,
    async (batch) => {
      const mine = batch.filter(({ aggregateId }) => aggregateId.startsWith(prefix));
      if (mine.length === 0) return;
      const rows = mine.map((event) => ({ id: event.id, subject: subjectOf(event), version: event.aggregateVersion }));
      const values = [JSON.stringify(rows), process.pid];
      await database.query(insertInto('deliveries'), values);
      await sleep(Number(sleepMs));
      await database.query(`${insertInto('effects')} on conflict do nothing`, values);
    },
    { batchSize: Number(batchSize) },
  );
  return {
    async close() {
      await subscription.stop();
      await bus.close();
      await database.end();
    },
  };
});

function insertInto(table: 'deliveries' | 'effects'): string {
  return `
    insert into ${table} (event_id, subject, version, pid)
    select e ->> 'id', e ->> 'subject', (e ->> 'version')::int, $2
    from jsonb_array_elements($1::jsonb) with ordinality as a(e, position)
    order by position`;
}
