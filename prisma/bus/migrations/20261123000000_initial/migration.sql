-- The service's role owns nothing: it can neither alter a table nor disable a trigger. Operators give it a login.
do $$
begin
  if not exists (select from pg_roles where rolname = 'commerce_bus') then
    create role commerce_bus nologin;
  end if;
  execute format('revoke all on database %I from public', current_database());
  execute format('grant connect on database %I to commerce_bus', current_database());
  -- A service may see whether its database is up to date. Prisma's shadow databases have no such table.
  if to_regclass('_prisma_migrations') is not null then
    grant select on _prisma_migrations to commerce_bus;
  end if;
end
$$;
revoke all on schema public from public;
grant usage on schema public to commerce_bus;
alter default privileges in schema public grant select, insert, update, delete on tables to commerce_bus;

-- The log of the embedded bus. Delivery is at least once, so an event may be here twice: only the position is unique.
create table event_log (
  position bigint generated always as identity,
  appended_at timestamptz not null default now(),
  source varchar(50) not null,
  event_id uuid not null,
  type varchar(100) not null,
  subject varchar(255) not null,
  aggregate_version bigint not null check (aggregate_version >= 1),
  envelope jsonb not null,
  primary key (position, appended_at)
) partition by range (appended_at);

-- Catches what comes before its month was made: an append never fails for want of a partition.
create table event_log_default partition of event_log default;

-- What carries the events, in one row. Between `embedded` and `kafka` it is nothing for as long as consumers still read
-- the log: events wait in the outboxes, and none can overtake an earlier one on the other carrier.
create table bus_carrier (
  only_row boolean primary key default true check (only_row),
  carrier varchar(20) not null default 'embedded' check (carrier in ('embedded', 'none', 'kafka')),
  changed_at timestamptz not null default now()
);
insert into bus_carrier default values;

-- One append at a time, whoever appends: positions are then in the order of the commits, so that a reader that goes by
-- position skips nothing. The lock is the statement's first act, before any position is given. Whoever changes the
-- carrier takes it as well: after that no append is under way, and a relay that was forgotten cannot make one.
create function lock_event_log() returns trigger
language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
  perform pg_advisory_xact_lock(hashtextextended('event_log append', 0));
  if not exists (select from public.bus_carrier where carrier = 'embedded') then
    raise exception 'the event log is closed: events go by Kafka, or wait until consumers have read the log'
      using errcode = 'object_not_in_prerequisite_state',
        hint = 'Start this process with KAFKA_BROKERS once npm run events:switch has ended.';
  end if;
  return null;
end
$$;
create trigger trg_event_log_one_at_a_time before insert on event_log
  for each statement execute function lock_event_log();

-- A wake-up for readers, not more: the payload is constant, so that one is sent however many events there are.
create function notify_event_log() returns trigger
language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
  perform pg_notify('event_log', '');
  return null;
end
$$;
create trigger trg_event_log_wake_up after insert on event_log for each statement execute function notify_event_log();

-- Makes the partition of a month (of UTC); repeating it does nothing. It runs as the owner, because the service owns
-- nothing. Call it before the month begins: a month with rows in the default partition stays there, for good.
-- It gives up soon: while it waits for a slow transaction, everybody else waits behind it.
create function create_event_log_month(month date) returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp set lock_timeout = '1s' as $$
declare
  first date := date_trunc('month', month::timestamp);
  since timestamptz := first::timestamp at time zone 'utc';
  upto timestamptz := (first + interval '1 month') at time zone 'utc';
  name text := 'event_log_' || to_char(first, 'YYYY_MM');
begin
  if to_regclass('public.' || name) is not null then
    return; -- without the lock below, for which readers would have to end
  end if;
  perform pg_advisory_xact_lock(hashtextextended('event_log append', 0));
  if exists (select from public.event_log_default where appended_at >= since and appended_at < upto) then
    return;
  end if;
  execute format(
    'create table if not exists public.%I partition of public.event_log for values from (%L) to (%L)',
    name, since, upto
  );
end
$$;
revoke all on function create_event_log_month(date) from public;
grant execute on function create_event_log_month(date) to commerce_bus;

create table group_offsets (
  group_name varchar(100) primary key,
  position bigint not null default 0 check (position >= 0),
  holder varchar(100),
  until timestamptz,
  updated_at timestamptz not null default now(),
  constraint chk_group_offsets_lease check ((holder is null) = (until is null))
);

-- Of every driver of the bus. What a consumer was given may be no event at all, and no content may keep it from being
-- filed here: `json` takes what `jsonb` refuses, and `subject` is cut to its column.
create table dead_letters (
  id bigint generated always as identity primary key,
  group_name varchar(100) not null,
  place varchar(200) not null,
  subject varchar(255) not null,
  event json not null,
  broken boolean not null,
  error text not null,
  attempts integer not null check (attempts >= 0),
  failed_at timestamptz not null default now(),
  redriven_at timestamptz,
  -- Given up: it stays as a record of who decided so, when and why, and no consumer of the group is given it again.
  discarded_at timestamptz,
  discarded_by varchar(255),
  discard_reason varchar(400),
  constraint uk_dead_letters_place unique (group_name, place),
  constraint chk_dead_letters_discarded check (
    num_nonnulls(discarded_at, discarded_by, discard_reason) in (0, 3)
    and (discarded_at is null or redriven_at is null)
  )
);
create index ix_dead_letters_subject on dead_letters (group_name, subject, id);
create index ix_dead_letters_redriven on dead_letters (group_name, id) where redriven_at is not null;
create index ix_dead_letters_discarded on dead_letters (group_name, subject) where discarded_at is not null;

-- Letters of a group are handled by one consumer at a time, whatever the driver gives the others to do.
create table redrive_leases (
  group_name varchar(100) primary key,
  holder varchar(100) not null,
  until timestamptz not null
);
