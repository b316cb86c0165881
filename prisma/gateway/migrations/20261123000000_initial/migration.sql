-- The service's role owns nothing: it can neither alter a table nor disable a trigger. Operators give it a login.
do $$
begin
  if not exists (select from pg_roles where rolname = 'commerce_gateway') then
    create role commerce_gateway nologin;
  end if;
  execute format('revoke all on database %I from public', current_database());
  execute format('grant connect on database %I to commerce_gateway', current_database());
  -- A service may see whether its database is up to date. Prisma's shadow databases have no such table.
  if to_regclass('_prisma_migrations') is not null then
    grant select on _prisma_migrations to commerce_gateway;
  end if;
end
$$;
revoke all on schema public from public;
grant usage on schema public to commerce_gateway;
alter default privileges in schema public grant select, insert, update, delete on tables to commerce_gateway;

-- Amounts are bounded by 2^53 - 1, so that every one of them is a safe integer in JSON.
create table charges (
  id varchar(64) primary key,
  order_id varchar(100) not null,
  method varchar(30) not null default 'card' check (method in ('card', 'bank_transfer')),
  amount bigint not null check (amount between 1 and 9007199254740991),
  currency char(3) not null check (currency ~ '^[A-Z]{3}$'),
  status varchar(30) not null default 'open' check (status in (
    'open', 'processing', 'requires_confirmation', 'captured', 'declined', 'cancelled')),
  captured_amount bigint check (captured_amount between 1 and 9007199254740991),
  captured_currency char(3) check (captured_currency ~ '^[A-Z]{3}$'),
  refunded_amount bigint not null default 0,
  decline_code varchar(50),
  -- What the shopper was told to do; kept when it is done.
  instructions jsonb,
  confirm_attempts integer not null default 0,
  -- When a processing charge captures, whether or not anybody is still waiting for it.
  due_at timestamptz,
  -- When a charge captures that nobody sees coming, even one that was cancelled meanwhile.
  lands_at timestamptz,
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  constraint chk_charges_captured check (
    (status = 'captured') = (captured_amount is not null) and (status = 'captured') = (captured_currency is not null)
  ),
  constraint chk_charges_refunded check (refunded_amount >= 0 and refunded_amount <= coalesce(captured_amount, 0)),
  constraint chk_charges_declined check ((status = 'declined') = (decline_code is not null)),
  constraint chk_charges_due check ((status = 'processing') = (due_at is not null)),
  constraint chk_charges_lands check (lands_at is null or status <> 'captured'),
  constraint chk_charges_instructions check (status <> 'requires_confirmation' or instructions is not null)
);
create index ix_charges_order on charges (order_id);
create index ix_charges_due on charges (due_at) where status = 'processing';
create unique index uk_charges_account on charges ((instructions ->> 'account')) where instructions ->> 'account' is not null;
create index ix_charges_lands on charges (lands_at) where lands_at is not null;

-- A refund keeps its key for ever. The key is not unique: whoever sends it again after it has expired pays twice.
create table refunds (
  id varchar(64) primary key,
  charge_id varchar(64) not null references charges (id),
  refund_key varchar(255) not null,
  amount bigint not null check (amount between 1 and 9007199254740991),
  currency char(3) not null,
  status varchar(20) not null check (status in ('pending', 'succeeded', 'failed')),
  failure_code varchar(50),
  -- When a pending refund ends, and whether it fails then.
  due_at timestamptz,
  due_failure_code varchar(50),
  created_at timestamptz not null default now(),
  constraint chk_refunds_failed check ((status = 'failed') = (failure_code is not null)),
  constraint chk_refunds_due check ((status = 'pending') = (due_at is not null)),
  constraint chk_refunds_due_failure check (due_failure_code is null or status = 'pending')
);
create index ix_refunds_charge on refunds (charge_id, refund_key);
create index ix_refunds_due on refunds (due_at) where status = 'pending';

-- What really happened to money. Ids are in commit order: whoever appends holds the ledger's advisory lock.
create table ledger_entries (
  id bigint generated always as identity primary key,
  charge_id varchar(64) not null references charges (id),
  order_id varchar(100) not null,
  type varchar(20) not null check (type in ('CAPTURE', 'REFUND')),
  amount bigint not null check (amount between 1 and 9007199254740991),
  currency char(3) not null,
  refund_key varchar(255),
  created_at timestamptz not null default now(),
  constraint chk_ledger_entries_key check ((type = 'REFUND') = (refund_key is not null))
);
create unique index uk_ledger_entries_capture on ledger_entries (charge_id) where type = 'CAPTURE';
create index ix_ledger_entries_charge on ledger_entries (charge_id, id);
create index ix_ledger_entries_order on ledger_entries (order_id, id);
create index ix_ledger_entries_created on ledger_entries (created_at);

-- What the shop is told. Each event is sent until the shop says that it has it.
create table webhook_deliveries (
  id bigint generated always as identity primary key,
  event_id varchar(64) not null unique,
  charge_id varchar(64) not null references charges (id),
  order_id varchar(100) not null,
  type varchar(50) not null,
  -- Sent byte by byte as it was written.
  body text not null,
  attempts integer not null default 0,
  -- Of the next attempt. Claiming a delivery moves it on, so that the claim of a process that dies runs out.
  due_at timestamptz not null default now(),
  -- Held back by a script until another event of the charge has arrived.
  waits boolean not null default false,
  ended_at timestamptz,
  outcome varchar(20) check (outcome in ('delivered', 'lost')),
  created_at timestamptz not null default now(),
  constraint chk_webhook_deliveries_ended check ((ended_at is null) = (outcome is null))
);
create index ix_webhook_deliveries_charge on webhook_deliveries (charge_id);
create index ix_webhook_deliveries_due on webhook_deliveries (due_at) where ended_at is null;
create index ix_webhook_deliveries_ended on webhook_deliveries (ended_at) where ended_at is not null;

-- A key belongs to whoever holds `claim` until `claimed_until`; with an answer it is settled until `expires_at`.
create table idempotency_keys (
  route varchar(20) not null check (route in ('prepare', 'confirm', 'refund')),
  key varchar(255) not null,
  request_hash char(64) not null,
  claim uuid not null,
  claimed_until timestamptz not null,
  answer_status integer,
  answer jsonb,
  created_at timestamptz not null default now(),
  expires_at timestamptz not null,
  primary key (route, key),
  constraint chk_idempotency_keys_answer check ((answer_status is null) = (answer is null))
);
create index ix_idempotency_keys_expires on idempotency_keys (expires_at);

-- Scripted misbehaviour of the next calls, oldest script first.
create table faults (
  id bigint generated always as identity primary key,
  route varchar(20) not null check (route in (
    'prepare', 'confirm', 'lookup', 'cancel', 'refund', 'list_refunds', 'webhook')),
  -- Null: a call for any order.
  order_id varchar(100),
  kind varchar(30) not null,
  -- Which variant of the kind is meant, where it has several.
  mode varchar(20),
  copies integer,
  ms integer not null default 0 check (ms >= 0),
  status integer,
  retry_after_seconds integer,
  remaining integer not null check (remaining >= 0),
  created_at timestamptz not null default now()
);

-- Raised for every change of a table that only grows.
create function refuse_change() returns trigger language plpgsql as $$
begin
  raise exception '% is append-only: % is not allowed', tg_table_name, tg_op using errcode = 'restrict_violation';
end
$$;

create trigger ledger_entries_append_only before update or delete on ledger_entries
  for each row execute function refuse_change();
create trigger ledger_entries_no_truncate before truncate on ledger_entries
  for each statement execute function refuse_change();
revoke update, delete, truncate on ledger_entries from commerce_gateway;
