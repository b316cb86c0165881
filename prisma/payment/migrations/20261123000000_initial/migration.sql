-- The service's role owns nothing: it can neither alter a table nor disable a trigger. Operators give it a login.
do $$
begin
  if not exists (select from pg_roles where rolname = 'commerce_payment') then
    create role commerce_payment nologin;
  end if;
  execute format('revoke all on database %I from public', current_database());
  execute format('grant connect on database %I to commerce_payment', current_database());
  -- A service may see whether its database is up to date. Prisma's shadow databases have no such table.
  if to_regclass('_prisma_migrations') is not null then
    grant select on _prisma_migrations to commerce_payment;
  end if;
end
$$;
revoke all on schema public from public;
grant usage on schema public to commerce_payment;
alter default privileges in schema public grant select, insert, update, delete on tables to commerce_payment;

-- The decision row of the payment service: capture and abandon race for it, and whoever decided first wins.
create table payment_marks (
  order_id uuid primary key,
  decision varchar(20) check (decision in ('CAPTURED', 'REFUSED', 'ABANDONED')),
  answer jsonb,
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now()
);

create table payments (
  id uuid primary key,
  order_id uuid not null,
  user_id bigint not null,
  provider varchar(30) not null,
  provider_payment_id varchar(255),
  method varchar(30) not null,
  status varchar(30) not null default 'PENDING' check (status in (
    'PENDING', 'AWAITING_CONFIRMATION', 'IN_DOUBT', 'CAPTURED', 'FAILED', 'CANCELLED',
    'LATE_CAPTURED', 'PARTIALLY_REFUNDED', 'REFUNDED')),
  amount bigint not null check (amount >= 0),
  currency char(3) not null check (currency ~ '^[A-Z]{3}$'),
  captured_amount bigint check (captured_amount >= 0),
  captured_currency char(3),
  refunded_amount bigint not null default 0,
  failure_code varchar(50),
  -- While AWAITING_CONFIRMATION: what the shopper must do, and until when the stock waits for it.
  instructions jsonb,
  expires_at timestamptz,
  -- When a charge that was asked for was given up without an answer: it may still land.
  in_doubt_since timestamptz,
  idempotency_key varchar(255) not null unique,
  created_at timestamptz not null default now(),
  captured_at timestamptz,
  updated_at timestamptz not null default now(),
  version bigint not null default 1,
  constraint uk_payments_provider unique (provider, provider_payment_id),
  constraint chk_payments_refunded check (refunded_amount >= 0 and refunded_amount <= coalesce(captured_amount, 0)),
  constraint chk_payments_captured check (
    status not in ('CAPTURED', 'LATE_CAPTURED', 'PARTIALLY_REFUNDED', 'REFUNDED')
    or (captured_amount is not null and captured_currency is not null and captured_at is not null)
  )
);
create unique index uk_payments_live on payments (order_id) where status not in ('FAILED', 'CANCELLED', 'REFUNDED');
-- By both, because the audit reads payments page by page in that order.
create index ix_payments_order on payments (order_id, id);
create index ix_payments_open on payments (created_at) where status in ('PENDING', 'AWAITING_CONFIRMATION', 'IN_DOUBT');

-- What closed or failed orders still owe: money that was taken and not given back.
create index ix_payments_owed on payments (updated_at)
  where captured_amount > refunded_amount and status in ('FAILED', 'CANCELLED', 'LATE_CAPTURED');

-- Captures of late, asked whether their orders still stand.
create index ix_payments_captured on payments (captured_at) where status in ('CAPTURED', 'PARTIALLY_REFUNDED');

-- Where money moved lately: compared with the gateway's books.
create index ix_payments_moved on payments (updated_at) where captured_amount > 0;

-- The decision row of one refund request: whoever repeats it gets the first answer.
create table refund_requests (
  id uuid primary key,
  order_id uuid not null,
  request_hash char(64) not null,
  requested_by varchar(100) not null,
  answer jsonb,
  created_at timestamptz not null default now()
);
create index ix_refund_requests_order on refund_requests (order_id);

create table refunds (
  id uuid primary key,
  payment_id uuid not null references payments (id),
  refund_key varchar(255) not null unique,
  amount bigint not null check (amount > 0),
  currency char(3) not null,
  reason varchar(100) not null,
  status varchar(20) not null default 'PENDING' check (status in ('PENDING', 'SUCCEEDED', 'FAILED')),
  failure_code varchar(50),
  requested_at timestamptz not null default now(),
  finished_at timestamptz
);
create index ix_refunds_payment on refunds (payment_id);
create index ix_refunds_pending on refunds (requested_at) where status = 'PENDING';
create index ix_refunds_settling on refunds (requested_at)
  where refund_key like '%:settle-refund' and status <> 'SUCCEEDED';

-- Settlements of late, asked whether their orders know.
create index ix_refunds_settled on refunds (finished_at)
  where refund_key like '%:settle-refund' and status = 'SUCCEEDED';

create table refund_lines (
  refund_id uuid not null references refunds (id),
  line_no integer not null check (line_no >= 1),
  quantity integer not null check (quantity > 0),
  restock boolean not null default false,
  primary key (refund_id, line_no)
);

-- Allow-listed fields and a hash of the body, never the body itself.
create table payment_webhooks (
  provider varchar(30) not null,
  event_id varchar(255) not null,
  type varchar(100) not null,
  provider_payment_id varchar(255) not null,
  fields jsonb not null,
  body_hash char(64) not null,
  received_at timestamptz not null default now(),
  outcome varchar(30) check (outcome in ('APPLIED', 'UNCHANGED', 'LATE_CAPTURE', 'UNKNOWN_CHARGE')),
  handled_at timestamptz,
  primary key (provider, event_id)
);
-- What was told about one charge, for the story of its order.
create index ix_payment_webhooks_charge on payment_webhooks (provider, provider_payment_id);
create index ix_payment_webhooks_open on payment_webhooks (received_at) where outcome is null;
create index ix_payment_webhooks_handled on payment_webhooks (handled_at) where outcome is not null;

-- The service's event store. Kept for rebuilds, so not partitioned: a UNIQUE across partitions is impossible.
create table outbox (
  id bigint generated always as identity primary key,
  event_id uuid not null unique,
  type varchar(100) not null,
  aggregate_type varchar(50) not null,
  aggregate_id varchar(255) not null,
  aggregate_version bigint not null check (aggregate_version >= 1),
  envelope jsonb not null,
  created_at timestamptz not null default now(),
  published_at timestamptz,
  -- Relays share the work by it: one of them holds it at a time (outbox_leases).
  partition integer not null generated always as (hashtext(aggregate_type || '/' || aggregate_id) & 15) stored,
  constraint uk_outbox_aggregate unique (aggregate_type, aggregate_id, aggregate_version)
) with (autovacuum_vacuum_scale_factor = 0.02); -- every row is updated once: unpublished entries must not pile up
create index ix_outbox_unpublished on outbox (partition, id) where published_at is null;

-- Wakes the relay. Notifying takes a lock of the whole server until the commit is on disk, so of the transactions that
-- commit at the same moment only one does it: the others neither wait nor are needed, because a relay that was woken
-- looks again and again for a while. Deferred, so that a long transaction keeps nobody else from notifying.
create function wake_relay() returns trigger language plpgsql as $$
begin
  if pg_try_advisory_xact_lock(hashtextextended('outbox wake-up', 0)) then
    perform pg_notify('outbox', '');
  end if;
  return null;
end
$$;
create constraint trigger outbox_wake_relay after insert on outbox deferrable initially deferred
  for each row execute function wake_relay();

-- A relay holds a partition of aggregates until `until`; an expired lease may be stolen. There is a row for each.
create table outbox_leases (
  partition integer primary key check (partition between 0 and 15),
  holder varchar(100) not null,
  until timestamptz not null
);
insert into outbox_leases (partition, holder, until) select p, 'nobody', to_timestamp(0) from generate_series(0, 15) as p;
