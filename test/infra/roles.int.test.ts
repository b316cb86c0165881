import assert from 'node:assert/strict';

import { type DatabaseName, DATABASES } from '../../infra/config.ts';
import { freshDatabases, query, type TestDatabases } from '../support/databases.ts';

const DENIED = { code: '42501' };
const APPEND_ONLY = { code: '23001', message: /is append-only: (UPDATE|DELETE|TRUNCATE) is not allowed/ };

describe('what the role of a service may do', () => {
  let databases: TestDatabases;
  before(async () => {
    databases = await freshDatabases({ seed: true });
  });
  after(() => databases.drop());

  const as = (name: DatabaseName, sql: string) => query(databases.urls[name], sql);
  const asOwner = (name: DatabaseName, sql: string) => query(databases.adminUrl(name), sql);

  for (const name of DATABASES) {
    it(`lets ${name} log in to its own database and to no other`, async () => {
      assert.deepEqual(await as(name, 'select current_user as me'), [{ me: `commerce_${name}` }]);
      for (const other of DATABASES.filter((candidate) => candidate !== name)) {
        const url = new URL(databases.urls[name]);
        url.pathname = new URL(databases.urls[other]).pathname;
        await assert.rejects(query(url.href, 'select 1'), DENIED, `${name} got into the database of ${other}`);
      }
    });

    it(`makes ${name} neither an owner of anything nor more than a role`, async () => {
      assert.deepEqual(
        await as(
          name,
          `select rolsuper, rolcreaterole, rolcreatedb, rolbypassrls, rolreplication,
             (select count(*)::int from pg_class where relowner = r.oid) as owned,
             (select count(*)::int from pg_auth_members where member = r.oid) as memberships
           from pg_roles r where rolname = current_user`,
        ),
        [
          {
            rolsuper: false,
            rolcreaterole: false,
            rolcreatedb: false,
            rolbypassrls: false,
            rolreplication: false,
            owned: 0,
            memberships: 0,
          },
        ],
      );
      await assert.rejects(as(name, 'create table mine (id integer)'), DENIED);
      await assert.rejects(as(name, 'create schema mine'), DENIED);
      await assert.rejects(as(name, 'set role commerce_migrator'), DENIED);
    });

    it(`lets ${name} see its migrations and not change them`, async () => {
      assert.equal((await as(name, 'select migration_name from _prisma_migrations')).length, 1);
      await assert.rejects(as(name, 'delete from _prisma_migrations'), DENIED);
      await assert.rejects(as(name, "update _prisma_migrations set checksum = ''"), DENIED);
    });

    it(`ends a transaction of ${name} that is left open`, async () => {
      const [limits] = await query<{ idle: string; whole: string }>(
        databases.urls[name],
        `select current_setting('idle_in_transaction_session_timeout') as idle,
           current_setting('transaction_timeout') as whole`,
      );
      assert.deepEqual(limits, { idle: '15s', whole: '1min' });
    });
  }

  it('keeps the tables that were not granted from a service', async () => {
    await asOwner('platform', 'create table secrets (id integer)');
    await assert.rejects(as('platform', 'select * from secrets'), DENIED);
  });

  it('lets the service append to its ledger', async () => {
    await as('platform', INSERT_MOVEMENT);
    assert.deepEqual(await as('platform', "select count(*)::int as n from inventory_events where aggregate_id = 't'"), [
      { n: 1 },
    ]);
  });

  for (const statement of [
    'update inventory_events set quantity_after = quantity_after',
    'delete from inventory_events',
    'truncate inventory_events',
  ]) {
    it(`refuses "${statement}" to the service, and to the owner too`, async () => {
      await assert.rejects(as('platform', statement), DENIED);
      await assert.rejects(asOwner('platform', statement), APPEND_ONLY);
    });
  }

  it('refuses the change by the trigger itself when the right was given by mistake', async () => {
    await asOwner('platform', 'grant update, delete on inventory_events to commerce_platform');
    try {
      await assert.rejects(as('platform', 'update inventory_events set reserved_change = 0'), APPEND_ONLY);
      await assert.rejects(as('platform', 'delete from inventory_events'), APPEND_ONLY);
    } finally {
      await asOwner('platform', 'revoke update, delete on inventory_events from commerce_platform');
    }
  });

  for (const statement of [
    'alter table inventory_events disable trigger all',
    'alter table inventory_events disable trigger inventory_events_append_only',
    'drop trigger inventory_events_append_only on inventory_events',
    'create or replace function refuse_change() returns trigger language plpgsql as $$ begin return null; end $$',
    'drop table inventory_events',
    'set session_replication_role = replica',
    'create rule quiet as on insert to inventory_events do instead nothing',
  ]) {
    it(`does not let the service get round the ledger by "${statement.slice(0, 60)}"`, async () => {
      await assert.rejects(as('platform', statement), DENIED);
    });
  }

  it('keeps the history of an order as it was written', async () => {
    const id = '00000000-0000-4000-8000-000000000001';
    await as('order', ORDER.replace(':id', id));
    await as(
      'order',
      `insert into order_status_history (order_id, order_version, status, actor) values ('${id}', 1, 'PENDING', 'test')`,
    );
    for (const statement of ["update order_status_history set status = 'PAID'", 'delete from order_status_history']) {
      await assert.rejects(as('order', statement), DENIED);
      await assert.rejects(asOwner('order', statement), APPEND_ONLY);
    }
  });

  it('lets the bus make the partition of a month, repeatedly, though it owns none', async () => {
    const make = "select create_event_log_month('2031-05-17')";
    await as('bus', make);
    await as('bus', make);
    await as(
      'bus',
      `insert into event_log (appended_at, source, event_id, type, subject, aggregate_version, envelope)
       select at, 'order', gen_random_uuid(), 'OrderPaid', 's', 1, '{}'
       from unnest('{2031-05-01T00:00Z,2031-05-31T23:59:59.999Z,2031-06-01T00:00Z}'::timestamptz[]) as at`,
    );
    assert.deepEqual(
      await as(
        'bus',
        'select tableoid::regclass::text as part, count(*)::int as n from event_log group by 1 order by 1',
      ),
      [
        { part: 'event_log_2031_05', n: 2 },
        { part: 'event_log_default', n: 1 },
      ],
    );
    await assert.rejects(as('bus', 'drop table event_log_2031_05'), DENIED);
  });
});

const INSERT_MOVEMENT = `
  insert into inventory_events (event_type, aggregate_id, aggregate_version, product_id, quantity_change,
    quantity_before, quantity_after)
  values ('ADJUSTED', 't', 1, 101, 5, 0, 5)`;

const ORDER = `
  insert into orders (id, order_number, user_id, currency, subtotal_amount, total_amount, payment_method, request_hash,
    placed_at)
  values (':id', 'AAAAAA-BBBBBB', 1, 'KRW', 1, 1, 'card', repeat('0', 64), now())`;
