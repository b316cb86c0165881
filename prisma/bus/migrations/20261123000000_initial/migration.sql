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
  -- Before all else, and without the lock of appends: whoever waits for that one has locked the table already.
  lock table only public.event_log in access exclusive mode;
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
-- Those that nobody has given up: few, among records that are kept for ever.
create index ix_dead_letters_open on dead_letters (group_name, subject, id) where discarded_at is null;
create index ix_dead_letters_redriven on dead_letters (group_name, id) where redriven_at is not null;
create index ix_dead_letters_discarded on dead_letters (group_name, subject) where discarded_at is not null;

-- Letters of a group are handled by one consumer at a time, whatever the driver gives the others to do.
create table redrive_leases (
  group_name varchar(100) primary key,
  holder varchar(100) not null,
  until timestamptz not null
);

-- What of the log is older than `keep` (and a day older than its newest event, which stays: where the log ends must be
-- known), oldest first: whole months by their partition, and the default partition where its first row is that old.
-- `events` counts positions, of the default partition none; `unread_by` names the groups that have not read it all.
-- The whole system may have no group yet: then nobody has read anything.
create function event_log_due(
  keep interval, out part text, out first bigint, out last bigint, out events bigint, out unread_by text[]
) returns setof record
language plpgsql stable security definer set search_path = pg_catalog, pg_temp as $$
declare
  newest timestamptz := (select appended_at from public.event_log order by position desc limit 1);
  cutoff timestamptz := least(now() - keep, newest - interval '1 day');
  month text;
begin
  if newest is null then
    return;
  end if;
  for month in
    select relname from pg_inherits join pg_class c on c.oid = inhrelid
    where inhparent = 'public.event_log'::regclass and relname ~ '^event_log_[0-9]{4}_[0-9]{2}$'
      and (to_date(right(relname, 7), 'YYYY_MM') + interval '1 month') at time zone 'utc' <= cutoff
    union all values ('event_log_default') order by 1
  loop
    part := month;
    if part = 'event_log_default' then
      select position, position, 0 into first, last, events
      from (select position, appended_at from public.event_log_default order by position limit 1) as oldest
      where appended_at < cutoff;
      continue when first is null;
    else
      execute format('select min(position), max(position) from public.%I', part) into first, last;
      events := coalesce(last - first + 1, 0);
    end if;
    unread_by := array(select group_name::text from public.group_offsets where position < last order by 1);
    if last is not null and not exists (select from public.group_offsets) then
      unread_by := array['(there is no group)'];
    end if;
    return next;
  end loop;
end
$$;

-- Takes the oldest part that is due off the log, if every group has read it: a month at once, or `most` rows of the
-- default partition. Always from the beginning, so that a log that begins at position 1 is whole. The service owns no
-- table that it could drop. It gives up soon: while it waits for a slow reader, everybody else waits behind it.
create function prune_event_log(keep interval, most integer, out part text, out removed bigint)
language plpgsql security definer set search_path = pg_catalog, pg_temp set lock_timeout = '1s' as $$
declare
  due record;
  newest timestamptz;
begin
  perform pg_advisory_xact_lock(hashtextextended('event_log prune', 0)); -- two would wait for each other's tables
  select * into due from public.event_log_due(keep) as d order by coalesce(d.first, 0), d.part limit 1;
  if due.part is null or due.unread_by <> '{}' or due.first > (select min(position) from public.event_log) then
    removed := 0;
    return;
  end if;
  part := due.part;
  if part = 'event_log_default' then
    newest := (select appended_at from public.event_log order by position desc limit 1);
    with piece as (
      select position, appended_at, tableoid = 'public.event_log_default'::regclass
        and appended_at < least(now() - keep, newest - interval '1 day')
        and position <= (select min(position) from public.group_offsets) as goes
      from public.event_log order by position limit most
    )
    delete from public.event_log_default l using piece p
    where (l.position, l.appended_at) = (p.position, p.appended_at)
      and not exists (select from piece stays where not stays.goes and stays.position <= p.position);
    get diagnostics removed = row_count;
  else
    execute format('drop table public.%I', part);
    removed := due.events;
  end if;
end
$$;
revoke all on function event_log_due(interval), prune_event_log(interval, integer) from public;
grant execute on function event_log_due(interval), prune_event_log(interval, integer) to commerce_bus;
