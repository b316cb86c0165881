-- The service's role owns nothing: it can neither alter a table nor disable a trigger. Operators give it a login.
do $$
begin
  if not exists (select from pg_roles where rolname = 'commerce_views') then
    create role commerce_views nologin;
  end if;
  execute format('revoke all on database %I from public', current_database());
  execute format('grant connect on database %I to commerce_views', current_database());
  -- A service may see whether its database is up to date. Prisma's shadow databases have no such table.
  if to_regclass('_prisma_migrations') is not null then
    grant select on _prisma_migrations to commerce_views;
  end if;
end
$$;
revoke all on schema public from public;
grant usage on schema public to commerce_views;
alter default privileges in schema public grant select, insert, update, delete on tables to commerce_views;

-- Searching for a part of a word by an index. Part of every PostgreSQL, and `trusted`: the database's owner may make it.
create extension if not exists pg_trgm;

-- Views are built from events alone and can be rebuilt. A row may start as a stub, made by whichever event comes first,
-- so what another aggregate fills is nullable; every source aggregate of a row has its own version, 0 before its first
-- event. Writes are upserts of facts; a sum changes by what the rows that it is the sum of change in the same transaction,
-- so an event that comes again changes nothing. No foreign keys: events of different aggregates have no order.

create table mv_users (
  user_id bigint primary key,
  -- As the events have them: sealed under the key of the person, which only the platform has.
  username text,
  email text,
  full_name text,
  status varchar(20),
  user_version bigint not null default 0,
  last_order_date timestamptz,
  synced_at timestamptz not null default now()
);

-- What one order adds to its customer's totals. The view of users has rows of its own for that, and does not read
-- mv_orders: each view can be rebuilt without the others.
create table mv_user_orders (
  order_id uuid primary key,
  user_id bigint not null,
  currency char(3) not null,
  order_date timestamptz not null,
  -- Of an order that is, or was, paid: 1 and what the customer paid for it, refunds taken off. Else 0.
  orders integer not null check (orders in (0, 1)),
  spent bigint not null check (spent >= 0),
  order_version bigint not null
);
create index ix_mv_user_orders_user on mv_user_orders (user_id, currency);

-- Sums of mv_user_orders.
create table mv_user_totals (
  user_id bigint not null,
  currency char(3) not null,
  total_orders bigint not null default 0 check (total_orders >= 0),
  total_spent bigint not null default 0,
  synced_at timestamptz not null default now(),
  primary key (user_id, currency)
);

create table mv_products (
  product_id bigint primary key,
  sku varchar(100),
  slug varchar(280),
  name varchar(255),
  description text,
  status varchar(20),
  brand varchar(100),
  category_id bigint,
  category_name varchar(100),
  category_slug varchar(120),
  -- Of the category above, whose page lists this product too.
  parent_category_slug varchar(120),
  currency char(3),
  base_price bigint,
  sale_price bigint,
  primary_image_url varchar(500),
  variants jsonb not null default '[]',
  product_version bigint not null default 0,
  available_stock bigint not null default 0,
  stock_status varchar(20) not null default 'OUT_OF_STOCK'
    check (stock_status in ('OUT_OF_STOCK', 'LOW_STOCK', 'IN_STOCK')),
  purchase_count bigint not null default 0,
  -- What a search looks at. The blank in front makes its first word begin like any other.
  search_text text generated always as (
    lower(' ' || coalesce(name, '') || ' ' || coalesce(sku, '') || ' ' || coalesce(brand, ''))
  ) stored,
  synced_at timestamptz not null default now()
);
-- Shoppers see active products alone.
create index ix_mv_products_category on mv_products (category_slug, product_id) where status = 'ACTIVE';
create index ix_mv_products_parent_category on mv_products (parent_category_slug, product_id) where status = 'ACTIVE';
create index ix_mv_products_search on mv_products using gin (search_text gin_trgm_ops) where status = 'ACTIVE';
create index ix_mv_products_status on mv_products (status, product_id);

-- One row per stock aggregate: a product has several, so their versions cannot live in its row.
create table mv_product_stock (
  aggregate_id varchar(255) primary key,
  product_id bigint not null,
  variant_id bigint,
  location_code varchar(50) not null,
  available_quantity integer not null check (available_quantity >= 0),
  reserved_quantity integer not null check (reserved_quantity >= 0),
  stock_status varchar(20) not null check (stock_status in ('OUT_OF_STOCK', 'LOW_STOCK', 'IN_STOCK')),
  stock_version bigint not null,
  synced_at timestamptz not null default now()
);
create index ix_mv_product_stock_product on mv_product_stock (product_id);

-- Tells caches, at commit, which product looks different now: its id, with a `*` behind it when it is more than stock, so
-- that it may belong into other lists than before.
create function tell_product_changed() returns trigger
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
  more_than_stock boolean := false;
begin
  if tg_table_name = 'mv_products' then
    more_than_stock := tg_op = 'INSERT' or new.product_version <> old.product_version;
  end if;
  perform pg_notify('products_changed', new.product_id || case when more_than_stock then '*' else '' end);
  return null;
end
$$;
create trigger tell_change after insert or update on mv_products
  for each row execute function tell_product_changed();
create trigger tell_change after insert or update on mv_product_stock
  for each row execute function tell_product_changed();

-- What one paid order contributes to a product's purchase count.
create table mv_product_purchases (
  product_id bigint not null,
  order_id uuid not null,
  units bigint not null check (units > 0),
  primary key (product_id, order_id)
);

create table mv_orders (
  order_id uuid primary key,
  order_number varchar(30),
  user_id bigint,
  status varchar(30),
  currency char(3),
  total_amount bigint,
  refunded_amount bigint not null default 0,
  items jsonb not null default '[]',
  failure_code varchar(50),
  order_date timestamptz,
  paid_at timestamptz,
  closed_at timestamptz,
  order_version bigint not null default 0,
  payment_id uuid,
  payment_status varchar(30),
  payment_method varchar(30),
  payment_version bigint not null default 0,
  synced_at timestamptz not null default now()
);
create unique index uk_mv_orders_number on mv_orders (order_number) where order_number is not null;
create index ix_mv_orders_user on mv_orders (user_id, order_date desc, order_id);
create index ix_mv_orders_status on mv_orders (status, order_date desc, order_id);
create index ix_mv_orders_date on mv_orders (order_date desc, order_id);

-- Wakes, at commit, who follows an order: its id, when the view learns of another version of it.
create function tell_order_changed() returns trigger
language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
  perform pg_notify('orders_changed', new.order_id::text);
  return null;
end
$$;
create trigger tell_new after insert on mv_orders
  for each row when (new.order_version > 0) execute function tell_order_changed();
create trigger tell_change after update on mv_orders
  for each row when (new.order_version > old.order_version) execute function tell_order_changed();

create table mv_payments (
  payment_id uuid primary key,
  order_id uuid not null,
  user_id bigint not null,
  amount bigint not null,
  currency char(3) not null,
  status varchar(30) not null,
  payment_method varchar(30) not null,
  payment_provider varchar(30) not null,
  captured_amount bigint,
  captured_currency char(3),
  refunded_amount bigint not null default 0,
  failure_code varchar(50),
  captured_at timestamptz,
  payment_version bigint not null,
  synced_at timestamptz not null default now()
);
create index ix_mv_payments_order on mv_payments (order_id);

-- What one order adds to one day of the shop's time zone. Two kinds of event feed it, so it has two versions.
-- refunded_total is the order's refunds so far after the last one of the day: events carry totals, not steps.
create table mv_order_sales (
  order_id uuid not null,
  day date not null,
  currency char(3) not null,
  user_id bigint not null,
  orders integer not null default 0 check (orders in (0, 1)),
  items integer not null default 0 check (items >= 0),
  gross bigint not null default 0 check (gross >= 0),
  refunded_total bigint check (refunded_total >= 0),
  refunds bigint not null default 0 check (refunds >= 0),
  paid_version bigint not null default 0,
  refund_version bigint not null default 0,
  primary key (order_id, day)
);
-- The customer and `orders` tell whether somebody has paid on a day before, without looking through the day.
create index ix_mv_order_sales_day on mv_order_sales (day, currency, user_id, orders);

-- Sums of mv_order_sales. total_revenue and net are what they are named after, so the database computes them.
create table mv_daily_sales (
  date date not null,
  currency char(3) not null,
  total_orders bigint not null default 0,
  completed_orders bigint not null default 0,
  unique_customers bigint not null default 0,
  items bigint not null default 0,
  gross bigint not null default 0,
  refunds bigint not null default 0,
  net bigint generated always as (gross - refunds) stored not null,
  total_revenue bigint generated always as (gross) stored not null,
  synced_at timestamptz not null default now(),
  primary key (date, currency)
);

-- An event that is already here was applied: the row is written in the transaction that applied it. One partition per
-- view, because a rebuild brings an inbox of its own.
create table projection_inbox (
  view varchar(30) not null,
  event_id uuid not null,
  applied_at timestamptz not null default now(),
  primary key (view, event_id)
) partition by list (view);
create index ix_projection_inbox_applied on projection_inbox (applied_at);
create table projection_inbox_users partition of projection_inbox for values in ('users');
create table projection_inbox_products partition of projection_inbox for values in ('products');
create table projection_inbox_orders partition of projection_inbox for values in ('orders');
create table projection_inbox_payments partition of projection_inbox for values in ('payments');
create table projection_inbox_sales partition of projection_inbox for values in ('sales');

-- The newest event of each service that a view has applied, committed with the rows that it wrote.
create table projection_offsets (
  view varchar(30) not null,
  source varchar(50) not null,
  event_id uuid not null,
  -- The database clock of the transaction that made the event.
  event_time timestamptz not null,
  applied_at timestamptz not null default now(),
  primary key (view, source)
);

-- Each view has applied all that was on the bus at the instant `caught_up_at`: readers are told how long ago that is.
create table projection_progress (
  view varchar(30) primary key,
  caught_up_at timestamptz,
  rebuilt_at timestamptz,
  -- Rows of its inbox that upkeep has removed since it was last rebuilt: events that it has applied and says so no more.
  forgotten bigint not null default 0 check (forgotten >= 0)
);
insert into projection_progress (view) values ('users'), ('products'), ('orders'), ('payments'), ('sales');

-- A view that is being rebuilt: its tables and its inbox are made once more in the schema `shadow`, where the projection
-- writes every batch as well while the rebuild fills in the past. `cursor` says how far that is, so that whoever goes on
-- after a crash begins there.
create table projection_rebuilds (
  view varchar(30) primary key references projection_progress,
  started_at timestamptz not null default now(),
  source varchar(20) not null check (source in ('log', 'outboxes', 'files')),
  cursor jsonb not null default '{}',
  applied bigint not null default 0 check (applied >= 0),
  holder varchar(100),
  until timestamptz,
  constraint chk_projection_rebuilds_lease check ((holder is null) = (until is null))
);

create schema shadow;
revoke all on schema shadow from public;
grant usage on schema shadow to commerce_views;

-- The tables that a rebuild of a view makes again. The inbox comes last.
create function view_tables(view_name text) returns text[]
language sql immutable set search_path = pg_catalog, pg_temp as $$
  select case view_name
    when 'users' then array['mv_users', 'mv_user_orders', 'mv_user_totals']
    when 'products' then array['mv_products', 'mv_product_stock', 'mv_product_purchases']
    when 'orders' then array['mv_orders']
    when 'payments' then array['mv_payments']
    when 'sales' then array['mv_order_sales', 'mv_daily_sales']
  end || ('projection_inbox_' || view_name)
$$;

-- Makes empty tables in the schema `shadow`, with every constraint and index of the live ones under the same names; those
-- that are there are dropped. The service owns nothing, so these functions run as the owner of the tables.
create function open_shadow(view_name text) returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
  name text;
  definition text;
begin
  perform public.drop_shadow(view_name);
  foreach name in array public.view_tables(view_name) loop
    execute format(
      'create table shadow.%I (like public.%I including defaults including generated including constraints)', name, name
    );
    for definition in
      select format('alter table shadow.%I add constraint %I %s', name, conname, pg_get_constraintdef(oid))
      from pg_constraint where conrelid = format('public.%I', name)::regclass and contype in ('p', 'u')
    loop
      execute definition;
    end loop;
    for definition in
      select regexp_replace(pg_get_indexdef(indexrelid), ' ON (ONLY )?public\.', ' ON shadow.')
      from pg_index where indrelid = format('public.%I', name)::regclass
        and not exists (select from pg_constraint where conindid = indexrelid)
    loop
      execute definition;
    end loop;
    execute format('grant select, insert, update, delete on shadow.%I to commerce_views', name);
  end loop;
end
$$;

create function drop_shadow(view_name text) returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
  name text;
begin
  foreach name in array public.view_tables(view_name) loop
    execute format('drop table if exists shadow.%I', name);
  end loop;
end
$$;

-- Puts the tables of the shadow in the place of the live ones, which are dropped. Readers wait for an instant; call it in
-- the transaction that holds the view's lock against the projection. It gives up soon, to be called again: while it waits
-- for a long reader, such as an audit, all others wait behind it.
create function swap_shadow(view_name text) returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp set lock_timeout = '500ms' as $$
declare
  name text;
  inbox text := 'projection_inbox_' || view_name;
  triggers text[];
  definition text;
begin
  foreach name in array public.view_tables(view_name) loop
    if name = inbox then
      execute format('alter table public.projection_inbox detach partition public.%I', name);
    end if;
    -- A twin has no triggers, so that nobody is told of what is not live yet.
    triggers := array(
      select pg_get_triggerdef(oid) from pg_trigger where tgrelid = format('public.%I', name)::regclass and not tgisinternal
    );
    execute format('drop table public.%I', name);
    execute format('alter table shadow.%I set schema public', name);
    foreach definition in array triggers loop
      execute definition;
    end loop;
    if name = inbox then
      execute format('alter table public.projection_inbox attach partition public.%I for values in (%L)', name, view_name);
    end if;
  end loop;
  if view_name = 'products' then
    perform pg_notify('products_changed', '*');
  end if;
end
$$;
revoke all on function open_shadow(text), drop_shadow(text), swap_shadow(text) from public;
grant execute on function open_shadow(text), drop_shadow(text), swap_shadow(text) to commerce_views;
