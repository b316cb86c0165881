import assert from 'node:assert/strict';

import { checkoutWorkflowId } from '../../domain/workflow-ids.ts';
import { type Child, startChild } from '../support/child.ts';
import { audited } from '../support/commands.ts';
import { firstOnly, LOG_BY_POSITION, upTo, type Versioned, versionsOf } from '../support/events.ts';
import { eventually } from '../support/eventually.ts';
import { startSystem, type TestSystem } from '../support/system.ts';

const MUG = { productId: '101', variantId: '1011', quantity: 1 };
const ORDERS = 8;
const SERVICES = ['platform', 'order', 'payment'] as const;

describe('the events of orders whose relays are killed', function () {
  this.timeout(240_000);
  let system: TestSystem;
  const relays: Child[] = [];

  before(async () => {
    system = await startSystem();
    await system.startWorkers();
  });
  after(async () => {
    await Promise.all(relays.map((relay) => relay.kill()));
    await system.stop();
  });

  const startRelays = async (): Promise<Child> => {
    const relay = await startChild('workers/events-main.ts', system.env);
    relays.push(relay);
    return relay;
  };
  const stored = async (): Promise<Versioned[]> => {
    const rows = await Promise.all(
      SERVICES.map((service) =>
        system.query<Versioned>(
          service,
          `select aggregate_type || '/' || aggregate_id as subject, aggregate_version::int as version from outbox`,
        ),
      ),
    );
    return rows.flat();
  };
  const waiting = async (): Promise<number> => {
    const counts = await Promise.all(
      SERVICES.map((service) =>
        system.query<{ n: number }>(service, 'select count(*)::int as n from outbox where published_at is null'),
      ),
    );
    return counts.flat().reduce((sum, { n }) => sum + n, 0);
  };

  it('are all on the bus in the end, each aggregate in order, and the books agree', async () => {
    const victim = await startRelays();
    const ids: string[] = [];
    for (let n = 0; n < ORDERS; n += 1) {
      const { status, body } = await system.shop.place({ items: [MUG], prefer: 'respond-async' });
      assert.equal(status, 202);
      ids.push(String(body['orderId']));
      if (n === ORDERS / 2) await victim.kill();
    }
    await Promise.all(ids.map((id) => system.temporal.workflow.getHandle(checkoutWorkflowId(id)).result()));
    assert.ok((await waiting()) > 0, 'the victim left something to do');

    await startRelays();
    await eventually('nothing waits', async () => ((await waiting()) === 0 ? true : undefined));
    const seen = versionsOf(await system.query<Versioned>('bus', LOG_BY_POSITION));
    const wanted = versionsOf(await stored());
    assert.deepEqual(Object.keys(seen).sort(), Object.keys(wanted).sort());
    for (const [subject, versions] of Object.entries(wanted)) {
      assert.deepEqual(firstOnly(seen[subject] ?? []), upTo(versions.length), subject);
    }
    for (const id of ids) assert.equal(wanted[`order/${id}`]?.length, 2, 'created and paid');

    const [now] = await system.query<{ at: string }>('views', 'select clock_timestamp()::text as at');
    await eventually('the views have followed', async () => {
      const behind = 'select view from projection_progress where coalesce(caught_up_at < $1::timestamptz, true)';
      return (await system.query('views', behind, [now?.at])).length === 0 ? true : undefined;
    });

    const { code, stdout } = await audited(system, { relays: true });
    assert.equal(code, 0, stdout);
    assert.match(stdout, /^audit: clean$/m);
  });
});
