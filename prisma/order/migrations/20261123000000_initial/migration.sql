-- The service's role owns nothing: it can neither alter a table nor disable a trigger. Operators give it a login.
do $$
begin
  if not exists (select from pg_roles where rolname = 'commerce_order') then
    create role commerce_order nologin;
  end if;
  execute format('revoke all on database %I from public', current_database());
  execute format('grant connect on database %I to commerce_order', current_database());
  -- A service may see whether its database is up to date. Prisma's shadow databases have no such table.
  if to_regclass('_prisma_migrations') is not null then
    grant select on _prisma_migrations to commerce_order;
  end if;
end
$$;
revoke all on schema public from public;
grant usage on schema public to commerce_order;
alter default privileges in schema public grant select, insert, update, delete on tables to commerce_order;

-- The decision row of the order service: every step of an order locks it first and stores its answer in it.
create table order_marks (
  order_id uuid primary key,
  state varchar(20) check (state in ('CREATED', 'PAID', 'CLOSED')),
  answer jsonb,
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now()
);

create table orders (
  id uuid primary key,
  order_number varchar(30) not null unique,
  user_id bigint not null,
  status varchar(30) not null default 'PENDING'
    check (status in ('PENDING', 'PAID', 'FAILED', 'CANCELLED', 'PARTIALLY_REFUNDED', 'REFUNDED')),
  currency char(3) not null check (currency ~ '^[A-Z]{3}$'),
  subtotal_amount bigint not null check (subtotal_amount >= 0),
  total_amount bigint not null check (total_amount >= 0),
  refunded_amount bigint not null default 0,
  payment_method varchar(30) not null,
  payment_id uuid,
  -- While the shopper must still pay: how, and until when the stock waits.
  payment_instructions jsonb,
  payment_expires_at timestamptz,
  request_hash char(64) not null,
  failure_code varchar(50),
  failure_message varchar(500),
  -- The platform's clock at the reservation, so that a repeated request shows the same instant.
  placed_at timestamptz not null,
  created_at timestamptz not null default now(),
  paid_at timestamptz,
  closed_at timestamptz,
  updated_at timestamptz not null default now(),
  version bigint not null default 1,
  constraint chk_orders_refunded check (refunded_amount between 0 and total_amount),
  constraint chk_orders_paid check (status not in ('PAID', 'PARTIALLY_REFUNDED', 'REFUNDED') or paid_at is not null),
  constraint chk_orders_failure check (status not in ('FAILED', 'CANCELLED') or failure_code is not null)
);
create index ix_orders_user on orders (user_id, created_at desc, id);
create index ix_orders_pending on orders (created_at) where status = 'PENDING';

create table order_items (
  order_id uuid not null references orders (id),
  line_no integer not null check (line_no >= 1),
  product_id bigint not null,
  variant_id bigint,
  location_code varchar(50) not null,
  product_sku varchar(100) not null,
  -- Product and variant, each up to 255 characters.
  product_name varchar(512) not null,
  variant_name varchar(255),
  unit_price bigint not null check (unit_price >= 0),
  quantity integer not null check (quantity > 0),
  line_total bigint not null,
  primary key (order_id, line_no),
  constraint chk_order_items_total check (line_total = unit_price * quantity)
);

create table order_status_history (
  id bigint generated always as identity primary key,
  order_id uuid not null references orders (id),
  order_version bigint not null,
  status varchar(30) not null,
  reason varchar(500),
  actor varchar(100) not null,
  -- Names what wrote the line where that may be repeated: an operator's resolution.
  source_id varchar(255),
  occurred_at timestamptz not null default now(),
  constraint uk_order_status_history_source unique (order_id, source_id)
);
create index ix_order_status_history_order on order_status_history (order_id, id);

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

-- Raised for every change of a table that only grows.
create function refuse_change() returns trigger language plpgsql as $$
begin
  raise exception '% is append-only: % is not allowed', tg_table_name, tg_op using errcode = 'restrict_violation';
end
$$;

create trigger order_status_history_append_only before update or delete on order_status_history
  for each row execute function refuse_change();
create trigger order_status_history_no_truncate before truncate on order_status_history
  for each statement execute function refuse_change();
revoke update, delete, truncate on order_status_history from commerce_order;
