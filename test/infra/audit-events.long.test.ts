import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';

import { audit, type Audited } from '../../infra/audit/audit.ts';
import type { KeptEvents } from '../../infra/audit/events-on-kafka.ts';
import { CannotLook } from '../../infra/audit/snapshot.ts';
import { type AuditedShop, brokenIn, MUG, openAuditedShop } from '../support/audited-shop.ts';

type Logged = Readonly<{ event_id: string; subject: string; version: number }>;

describe('the audit of events', function () {
  this.timeout(60_000);
  let shop: AuditedShop;
  /** What earlier tests have broken. */
  let known: Set<string>;

  before(async () => {
    shop = await openAuditedShop();
    for (const end of ['cancelled', 'declined'] as const) await shop[end]();
    for (let n = 0; n < 10; n++) await shop.paid();
    await shop.drain();
  });
  after(() => shop.close());
  beforeEach(async () => {
    known = new Set(brokenIn(await look()));
  });

  const look = () => shop.audit({ only: [7] });
  const newIn = ({ findings }: Audited) => findings.filter((one) => !known.has(`${one.invariant} ${one.row}`));
  const broken = async () => newIn(await look()).map(({ row, is }) => `${row}: ${is}`);
  /** What tests have taken, so that no two damage the same. */
  const taken: string[] = [''];
  /** The events of an order that no test has taken yet: two or more. */
  const anOrder = async (): Promise<Logged[]> => {
    const rows = await shop.ask(
      'bus',
      `select event_id, subject, aggregate_version::integer as version from event_log
       where subject = (select subject from event_log where subject like 'order/%'
         and not subject = any($1::text[]) group by 1 having count(*) >= 2 limit 1) order by position`,
      [taken],
    );
    const events = rows as unknown as Logged[];
    assert.ok(events.length >= 2);
    taken.push(String(events[0]?.subject));
    return events;
  };
  const idOf = (events: readonly Logged[], version: number) =>
    String(events.find((event) => event.version === version)?.event_id);

  it('finds nothing in a shop whose outboxes are drained, and looks at every event', async () => {
    const { findings, inProgress, unknown, notes, invariants } = await look();
    assert.deepEqual(
      { findings, inProgress, unknown, notes },
      { findings: [], inProgress: [], unknown: [], notes: [] },
    );
    const counts = await Promise.all(
      (['platform', 'order', 'payment'] as const).map((name) => shop.ask(name, 'select count(*)::integer from outbox')),
    );
    const stored = counts.reduce((sum, [row]) => sum + Number((row as { count: number }).count), 0);
    assert.ok(stored > 700);
    assert.deepEqual(
      invariants.map(({ id, looked }) => [id, looked]),
      [[7, stored]],
    );
  });

  it('takes no offence at events that came twice', async () => {
    const [event] = await anOrder();
    await shop.damage(
      'bus',
      `insert into event_log (source, event_id, type, subject, aggregate_version, envelope)
       select source, event_id, type, subject, aggregate_version, envelope from event_log where event_id = $1`,
      [event?.event_id],
    );
    assert.deepEqual(await broken(), []);
  });

  it('names an event that is marked as published and is not on the bus', async () => {
    const events = await anOrder();
    const lost = events.at(-1);
    await shop.damage('bus', 'delete from event_log where event_id = $1', [lost?.event_id]);
    const [finding, ...others] = newIn(await look());
    assert.deepEqual([finding?.row, finding?.shouldBe, others], [`event ${lost?.event_id}`, 'on the bus', []]);
    assert.match(
      String(finding?.is),
      new RegExp(`^marked as published by order: Order\\w+ ${lost?.version} of ${lost?.subject}$`),
    );
  });

  it('names an event on the bus that no service has stored, and one with other content', async () => {
    const invented = randomUUID();
    const [first] = await anOrder();
    await shop.damage(
      'bus',
      `insert into event_log (source, event_id, type, subject, aggregate_version, envelope)
       select source, '${invented}', 'OrderPaid', 'order/nobody', 1, envelope from event_log limit 1;
       update event_log set envelope = envelope || '{"data": {}}' where event_id = $1`,
      [first?.event_id],
    );
    const found = await broken();
    assert.equal(found.length, 2, found.join('\n'));
    assert.ok(found.some((text) => /^event .*: on the bus: OrderPaid 1 of order\/nobody$/.test(text)));
    assert.ok(found.some((text) => text.startsWith(`event ${first?.event_id}: on the bus with other content`)));
  });

  it('names versions that came on the bus in the wrong order', async () => {
    const events = await anOrder();
    const { subject } = events[0] ?? { subject: '' };
    await shop.damage(
      'bus',
      `create temp table moved as select source, event_id, type, subject, aggregate_version, envelope from event_log
         where event_id = $1;
       delete from event_log where event_id = $1;
       insert into event_log (source, event_id, type, subject, aggregate_version, envelope) select * from moved`,
      [idOf(events, 1)],
    );
    const found = await broken();
    assert.ok(
      found.includes(`version 1 of ${subject} on the bus: comes after version ${events.length}`),
      found.join('\n'),
    );
  });

  it('names gaps and disorder in an outbox', async () => {
    const [gap, disorder] = [await anOrder(), await anOrder()];
    await shop.damage('order', 'delete from outbox where event_id = $1', [idOf(gap, 1)]);
    const found = await broken();
    assert.ok(found.includes(`version 2 of ${gap[0]?.subject}: stored by order after version 0`), found.join('\n'));
    assert.ok(
      found.some((text) => text.startsWith(`event ${idOf(gap, 1)}: on the bus: OrderCreated`)),
      found.join('\n'),
    );
    await shop.damage('order', 'update outbox set id = default where event_id = $1', [idOf(disorder, 1)]);
    assert.ok((await broken()).includes(`version 2 of ${disorder[0]?.subject}: stored by order before version 1`));
  });

  it('lists events that wait as in progress while they are young or a relay is at work, and as broken then', async () => {
    await shop.addStock(MUG, 5);
    const waits = 'outbox of platform';
    await shop.damage('platform', `update outbox_leases set until = to_timestamp(0)`);
    const young = await look();
    assert.deepEqual(newIn(young), []);
    assert.deepEqual(
      young.inProgress.map(({ row }) => row),
      [waits],
    );
    assert.match(String(young.inProgress[0]?.workflows), /^events of the last \d s$/);

    await shop.damage(
      'platform',
      `update outbox set created_at = now() - interval '1 minute' where published_at is null`,
    );
    const [finding, ...others] = newIn(await look());
    assert.deepEqual([finding?.row, others], [waits, []]);
    assert.match(String(finding?.is), /^1 events are not on the bus, the oldest for 6\d s; no relay is at work$/);

    await shop.damage('platform', `update outbox_leases set holder = 'events 7', until = now() where partition = 3`);
    const relayed = await look();
    assert.deepEqual([newIn(relayed), relayed.inProgress[0]?.workflows], [[], ['relay events 7']]);

    await shop.drain();
    const drained = await look();
    assert.deepEqual([newIn(drained), drained.inProgress], [[], []]);
  });

  it('looks on Kafka for what was published since the switch, and in the log for what came before', async () => {
    const [before] = await anOrder();
    await shop.damage('bus', `update bus_carrier set carrier = 'kafka', changed_at = clock_timestamp()`);
    await shop.addStock(MUG, 5);
    await shop.damage('platform', `update outbox set published_at = clock_timestamp() where published_at is null`);
    await assert.rejects(look(), (error) => error instanceof CannotLook && /set KAFKA_BROKERS/.test(error.message));
    const lookWith = async (expired: boolean) => {
      const topics = { open: () => Promise.resolve(emptyTopics(expired)) };
      const deps = { urls: shop.urls, ledger: undefined, workflows: undefined, topics };
      return audit(deps, { only: [7], recheckAfterMs: 50 });
    };
    const kept = newIn(await lookWith(false));
    assert.equal(kept.length, 1);
    assert.match(String(kept[0]?.is), /^marked as published by platform: InventoryAdjusted /);
    const expired = await lookWith(true);
    assert.deepEqual(newIn(expired), []);
    assert.match(expired.notes.join(), /^7: 1 events of platform are not looked for: Kafka has none any more$/);

    await shop.damage('bus', 'delete from event_log where event_id = $1', [before?.event_id]);
    const rows = newIn(await lookWith(true)).map(({ row }) => row);
    assert.deepEqual(rows, [`event ${before?.event_id}`], 'an event from before the switch is in the log or lost');
    await shop.damage('bus', `update bus_carrier set carrier = 'embedded'`);
    assert.equal((await broken()).filter((text) => text.includes('InventoryAdjusted')).length, 1);
  });

  it('looks for no event from before the log begins, and says so', async () => {
    await shop.damage('bus', `delete from event_log where position <= 100`);
    const shortened = await look();
    assert.match(shortened.notes.join(), /^7: the log begins at .*: what was published before is not looked for$/);
  });

  it('takes no offence at what a relay repeated, or marked late, around the place where the log begins now', async () => {
    const before = (await look()).findings.length;
    const events = await anOrder();
    const copy = `insert into event_log (source, event_id, type, subject, aggregate_version, envelope)
      select source, event_id, type, subject, aggregate_version, envelope from event_log where event_id = $1`;
    // Version 1 went with a month; its repeat, from before the mark, comes behind version 2.
    await shop.damage('bus', copy, [idOf(events, 1)]);
    await shop.damage(
      'bus',
      'delete from event_log where event_id = $1 and position = (select min(position) from event_log where event_id = $1)',
      [idOf(events, 1)],
    );
    await shop.damage('order', 'update outbox set published_at = now() where event_id = $1', [idOf(events, 1)]);
    assert.deepEqual((await look()).findings.slice(before), []);
  });

  it('says what it needs', async () => {
    const { platform, order, payment } = shop.urls;
    const urls = { platform, order, payment };
    const asked = audit({ urls, ledger: undefined, workflows: undefined }, { only: [7] });
    await assert.rejects(asked, (error) => error instanceof CannotLook && /Set BUS_DATABASE_URL/.test(error.message));
  });
});

/** Topics without a record: nothing was ever there, or everything was thrown away. */
const emptyTopics = (expired: boolean): KeptEvents => ({
  records: 0,
  async *read() {},
  hasExpired: () => expired,
  isCut: () => expired,
  beginsAt: () => null,
  close: () => Promise.resolve(),
});
