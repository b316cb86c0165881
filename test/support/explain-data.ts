import pg from 'pg';

import type { DatabaseName } from '../../infra/config.ts';
import type { TestDatabases } from './databases.ts';
import { BIG_ROWS, type TableSizes } from './explain-rules.ts';

/** Generated ids of users, products and variants begin behind this; those of the seed are below. */
const FIRST_ID = 1_000_000;
/** Rows of one kind. */
const ROWS = BIG_ROWS;
/** Between two orders: all of them fill almost two years, the newest is a day old. */
const MINUTES_APART = 10;

/** The customer, product, variant and payment of the generated order `n`, from 1 on; all have the same number. */
export const generatedId = (n: number): string => String(FIRST_ID + n);

/** A UUID as our own are: of version 5. */
const uuid = (name: string): string => `overlay(overlay(md5(${name}) placing '5' from 13) placing '8' from 17)::uuid`;
const ORDER = uuid(`'order ' || i`);
const PAYMENT = uuid(`'payment ' || i`);
const REFUND = uuid(`'refund ' || i`);
const ID = `(${FIRST_ID} + i)`;
const STOCK = `${ID} || '-' || ${ID} || '-MAIN'`;
/** Words that a search can look for, each its own. */
const NAME = `'Thing ' || md5('name ' || i)`;
const STATUS = `case when i % 10 = 0 then 'ARCHIVED' else 'ACTIVE' end`;
const HASH = `repeat(md5('request ' || i), 2)`;
const all = (from: string): string => `${from} from generate_series(1, ${ROWS}) as i`;

/** Instants of the order `i` and of what came of it. The same in all databases. */
function instants() {
  const newest = new Date(Math.floor(Date.now() / 60_000) * 60_000 - 24 * 3_600_000).toISOString();
  const at = `(timestamptz '${newest}' - (${ROWS} - i) * interval '${MINUTES_APART} minutes')`;
  return { at, iso: `to_char(${at} at time zone 'utc', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"')` };
}
const { at: AT, iso: ISO } = instants();

/** `orderNumberOf` of domain/checkout.ts. */
const ORDER_NUMBER = `(select substr(t, 1, 6) || '-' || substr(t, 7) from (
  select string_agg(substr('0123456789ABCDEFGHJKMNPQRSTVWXYZ', ((bits >> (5 * (11 - k))) & 31)::int + 1, 1), '' order by k) as t
  from (select ('x0' || right(md5('order ' || i), 15))::bit(64)::bigint as bits) as n, generate_series(0, 11) as k) as c)`;

const MONEY = `jsonb_build_object('minor', 1000, 'currency', 'KRW')`;
const LINE = `jsonb_build_object('lineNo', 1, 'productId', ${ID}::text, 'variantId', ${ID}::text, 'locationCode', 'MAIN',
  'sku', 'V' || ${ID}, 'name', 'Thing ' || ${ID}, 'variantName', 'Kind', 'unitPrice', ${MONEY}, 'quantity', 1,
  'lineTotal', ${MONEY})`;
const RESERVATION = `jsonb_build_object('lines', jsonb_build_array(${LINE}), 'total', ${MONEY}, 'paymentMethod', 'card',
  'placedAt', ${ISO})`;
const EVENT_LINE = `jsonb_build_object('lineNo', 1, 'productId', ${ID}::text, 'variantId', ${ID}::text, 'sku', 'V' || ${ID},
  'name', 'Thing ' || ${ID}, 'unitPriceMinor', 1000, 'quantity', 1, 'lineTotalMinor', 1000)`;

type Told = Readonly<{
  source: 'platform' | 'order' | 'payment';
  type: string;
  aggregate: string;
  id: string;
  version: number;
  data: string;
}>;

/** One event of each service for every order: the newest of its aggregate, behind which another one can come. */
const TOLD: readonly Told[] = [
  {
    ...{ source: 'platform', type: 'InventoryAdjusted', aggregate: 'inventory', id: STOCK, version: 3 },
    data: `jsonb_build_object('productId', ${ID}::text, 'variantId', ${ID}::text, 'locationCode', 'MAIN', 'quantityChange', 100,
      'reservedChange', 0, 'available', 100, 'reserved', 0, 'lowStockThreshold', 10, 'reason', 'INITIAL_STOCK', 'orderId', null)`,
  },
  {
    ...{ source: 'order', type: 'OrderCreated', aggregate: 'order', id: `${ORDER}::text`, version: 1 },
    data: `jsonb_build_object('orderId', ${ORDER}, 'orderNumber', 'N-' || i, 'userId', ${ID}::text, 'status', 'PENDING',
      'currency', 'KRW', 'totalMinor', 1000, 'refundedTotalMinor', 0, 'itemCount', 1, 'paymentMethod', 'card',
      'failureCode', null, 'placedAt', ${ISO}, 'lines', jsonb_build_array(${EVENT_LINE}))`,
  },
  {
    ...{ source: 'payment', type: 'PaymentPending', aggregate: 'payment', id: `${PAYMENT}::text`, version: 1 },
    data: `jsonb_build_object('paymentId', ${PAYMENT}, 'orderId', ${ORDER}, 'userId', ${ID}::text, 'provider', 'simulated',
      'method', 'card', 'status', 'PENDING', 'currency', 'KRW', 'amountMinor', 1000, 'capturedMinor', 0,
      'capturedCurrency', null, 'refundedMinor', 0, 'failureCode', null)`,
  },
];

const eventId = ({ source }: Told): string => uuid(`'${source} event ' || i`);
const envelope = (told: Told): string => `jsonb_build_object('specversion', '1.0', 'id', ${eventId(told)},
  'source', '/commerce-saga/${told.source}', 'type', '${told.type}', 'subject', ${told.id},
  'dataschema', 'urn:commerce-saga:event:${told.type}:v1', 'aggregateType', '${told.aggregate}', 'aggregateVersion', ${told.version},
  'correlationId', ${ORDER}, 'time', ${ISO}, 'data', ${told.data})`;

const outboxOf = (source: Told['source']): string[] =>
  TOLD.filter((told) => told.source === source).map((told) =>
    all(`insert into outbox (event_id, type, aggregate_type, aggregate_id, aggregate_version, envelope, created_at, published_at)
      select ${eventId(told)}, '${told.type}', '${told.aggregate}', ${told.id}, ${told.version}, ${envelope(told)}, ${AT}, ${AT}`),
  );

/** Three rows of the ledger for each row of stock: it came, was reserved by the order of its number, and was sold. */
const ledger = (version: number, type: string, quantities: string, reference: string): string =>
  all(`insert into inventory_events (event_type, aggregate_id, aggregate_version, product_id, variant_id, location_code,
      quantity_change, quantity_before, quantity_after, reserved_change, change_reason, reference_type, reference_id,
      event_data, correlation_id, occurred_at)
    select '${type}', ${STOCK}, ${version}, ${ID}, ${ID}, 'MAIN', ${quantities}, 'GENERATED', ${reference},
      '{"lineNo": 1}', ${uuid(`'ledger ${version} ' || i`)}, ${AT}`);

const STATEMENTS: Readonly<Record<DatabaseName, readonly string[]>> = {
  platform: [
    all(
      `insert into users (id, username, email, full_name) select ${ID}, 'user' || ${ID}, 'user' || ${ID} || '@shop.test', 'User ' || i`,
    ),
    all(`insert into personal_keys (user_id, key) select ${ID}, sha256(${ID}::text::bytea)`),
    `insert into categories (id, name, slug) select 2000 + i, 'Parent ' || i, 'parent-' || i from generate_series(0, 49) as i`,
    `insert into categories (id, parent_id, name, slug)
      select 1000 + i, 2000 + i % 50, 'Category ' || i, 'category-' || i from generate_series(0, 499) as i`,
    all(`insert into products (id, category_id, sku, name, slug, description, brand, status, currency, base_price)
      select ${ID}, 1000 + i % 500, 'S' || ${ID}, ${NAME}, 'thing-' || ${ID}, 'A thing.', 'Brand' || i % 97, ${STATUS},
        'KRW', 1000`),
    all(`insert into product_variants (id, product_id, variant_sku, name) select ${ID}, ${ID}, 'V' || ${ID}, 'Kind'`),
    all(`insert into inventory_snapshots (product_id, variant_id, location_code, available_quantity, version)
      select ${ID}, ${ID}, 'MAIN', 99, 3`),
    ledger(1, 'ADJUSTED', '100, 0, 100, 0', `'ADJUSTMENT', 'seed'`),
    ledger(2, 'RESERVED', '-1, 100, 99, 1', `'ORDER', ${ORDER}::text`),
    ledger(3, 'COMMITTED', '0, 99, 99, -1', `'ORDER', ${ORDER}::text`),
    all(`insert into inventory_orders (order_id, user_id, request_hash, state, answer, expires_at, created_at, updated_at)
      select ${ORDER}, ${ID}, ${HASH}, 'COMMITTED', ${RESERVATION}, ${AT}, ${AT}, ${AT}`),
    all(`insert into inventory_reservations (order_id, line_no, product_id, variant_id, location_code, quantity, state)
      select ${ORDER}, 1, ${ID}, ${ID}, 'MAIN', 1, 'COMMITTED'`),
    all(`insert into administration_requests (id, request_hash, aggregate_type, aggregate_id)
      select ${uuid(`'administration ' || i`)}, ${HASH}, 'product', ${ID}`),
    ...outboxOf('platform'),
  ],
  order: [
    all(`insert into order_marks (order_id, state, answer, created_at, updated_at)
      select ${ORDER}, 'PAID', ${RESERVATION} || jsonb_build_object('orderId', ${ORDER}), ${AT}, ${AT}`),
    all(`insert into orders (id, order_number, user_id, status, currency, subtotal_amount, total_amount, refunded_amount,
        payment_method, payment_id, request_hash, placed_at, created_at, paid_at, updated_at, version)
      select ${ORDER}, ${ORDER_NUMBER}, ${ID}, 'PARTIALLY_REFUNDED', 'KRW', 1000, 1000, 1, 'card', ${PAYMENT}, ${HASH},
        ${AT}, ${AT}, ${AT}, ${AT}, 3`),
    all(`insert into order_items (order_id, line_no, product_id, variant_id, location_code, product_sku, product_name,
        variant_name, unit_price, quantity, line_total)
      select ${ORDER}, 1, ${ID}, ${ID}, 'MAIN', 'V' || ${ID}, 'Thing ' || ${ID}, 'Kind', 1000, 1, 1000`),
    all(`insert into order_status_history (order_id, order_version, status, actor, occurred_at)
      select ${ORDER}, 3, 'PARTIALLY_REFUNDED', 'checkout', ${AT}`),
    ...outboxOf('order'),
  ],
  payment: [
    all(
      `insert into payment_marks (order_id, decision, created_at, updated_at) select ${ORDER}, 'CAPTURED', ${AT}, ${AT}`,
    ),
    all(`insert into payments (id, order_id, user_id, provider, provider_payment_id, method, status, amount, currency,
        captured_amount, captured_currency, refunded_amount, idempotency_key, created_at, captured_at, updated_at, version)
      select ${PAYMENT}, ${ORDER}, ${ID}, 'simulated', 'generated_' || i, 'card', 'PARTIALLY_REFUNDED', 1000, 'KRW', 1000,
        'KRW', 1, ${ORDER} || ':confirm', ${AT}, ${AT}, ${AT}, 3`),
    all(`insert into refunds (id, payment_id, refund_key, amount, currency, reason, status, requested_at, finished_at)
      select ${REFUND}, ${PAYMENT}, ${REFUND}::text, 1, 'KRW', 'damaged', 'SUCCEEDED', ${AT}, ${AT}`),
    all(`insert into refund_lines (refund_id, line_no, quantity) select ${REFUND}, 1, 1`),
    all(`insert into refund_requests (id, order_id, request_hash, requested_by, answer, created_at)
      select ${REFUND}, ${ORDER}, ${HASH}, 'operator', jsonb_build_object('refundId', ${REFUND}, 'orderId', ${ORDER},
        'paymentId', ${PAYMENT}, 'amount', jsonb_build_object('minor', 1, 'currency', 'KRW'), 'reason', 'damaged',
        'lines', jsonb_build_array(jsonb_build_object('lineNo', 1, 'quantity', 1, 'restock', false))), ${AT}`),
    all(`insert into payment_webhooks (provider, event_id, type, provider_payment_id, fields, body_hash, received_at, outcome,
        handled_at)
      select 'simulated', 'evt_' || i, 'charge.captured', 'generated_' || i, '{}', ${HASH}, ${AT}, 'APPLIED', ${AT}`),
    ...outboxOf('payment'),
  ],
  views: [
    all(`insert into mv_users (user_id, username, email, full_name, status, user_version, last_order_date)
      select ${ID}, 'user' || ${ID}, 'user' || ${ID} || '@shop.test', 'User ' || i, 'ACTIVE', 1, ${AT}`),
    all(`insert into mv_user_orders (order_id, user_id, currency, order_date, orders, spent, order_version)
      select ${ORDER}, ${ID}, 'KRW', ${AT}, 1, 999, 3`),
    all(`insert into mv_user_totals (user_id, currency, total_orders, total_spent) select ${ID}, 'KRW', 1, 999`),
    all(`insert into mv_products (product_id, sku, slug, name, description, status, brand, category_id, category_name,
        category_slug, parent_category_slug, currency, base_price, product_version, available_stock, stock_status,
        purchase_count, variants)
      select ${ID}, 'S' || ${ID}, 'thing-' || ${ID}, ${NAME}, 'A thing.', ${STATUS}, 'Brand' || i % 97, 1000 + i % 500,
        'Category ' || i % 500, 'category-' || i % 500, 'parent-' || i % 50, 'KRW', 1000, 1, 99, 'IN_STOCK', 1,
        jsonb_build_array(jsonb_build_object('variantId', ${ID}::text, 'sku', 'V' || ${ID}, 'name', 'Kind',
          'options', '{}'::jsonb, 'priceMinor', null, 'status', 'ACTIVE'))`),
    all(`insert into mv_product_stock (aggregate_id, product_id, variant_id, location_code, available_quantity,
        reserved_quantity, stock_status, stock_version)
      select ${STOCK}, ${ID}, ${ID}, 'MAIN', 99, 0, 'IN_STOCK', 3`),
    all(`insert into mv_product_purchases (product_id, order_id, units) select ${ID}, ${ORDER}, 1`),
    all(`insert into mv_orders (order_id, order_number, user_id, status, currency, total_amount, refunded_amount, items,
        order_date, paid_at, order_version, payment_id, payment_status, payment_method, payment_version)
      select ${ORDER}, ${ORDER_NUMBER}, ${ID}, 'PARTIALLY_REFUNDED', 'KRW', 1000, 1, jsonb_build_array(${EVENT_LINE}), ${AT}, ${AT},
        3, ${PAYMENT}, 'PARTIALLY_REFUNDED', 'card', 3`),
    all(`insert into mv_payments (payment_id, order_id, user_id, amount, currency, status, payment_method, payment_provider,
        captured_amount, captured_currency, refunded_amount, captured_at, payment_version)
      select ${PAYMENT}, ${ORDER}, ${ID}, 1000, 'KRW', 'PARTIALLY_REFUNDED', 'card', 'simulated', 1000, 'KRW', 1, ${AT}, 3`),
    all(`insert into mv_order_sales (order_id, day, currency, user_id, orders, items, gross, refunded_total, refunds,
        paid_version, refund_version)
      select ${ORDER}, (${AT} at time zone 'Asia/Seoul')::date, 'KRW', ${ID}, 1, 1, 1000, null, 0, 2, 0`),
    `insert into mv_daily_sales (date, currency, total_orders, completed_orders, unique_customers, items, gross, refunds)
      select day, currency, count(*), sum(orders), count(distinct user_id), sum(items), sum(gross), sum(refunds)
      from mv_order_sales group by day, currency`,
    ...['users', 'products', 'orders', 'payments', 'sales'].map((view) =>
      all(`insert into projection_inbox (view, event_id, applied_at)
        select '${view}', ${uuid(`'${view} inbox ' || i`)}, ${AT}`),
    ),
  ],
  bus: [
    `select create_event_log_month((now() at time zone 'utc' - k * interval '1 month')::date) from generate_series(0, 2) as k`,
    ...TOLD.map(
      (
        told,
        month,
      ) => `insert into event_log (appended_at, source, event_id, type, subject, aggregate_version, envelope)
      select date_trunc('month', now(), 'UTC') - ${TOLD.length - 1 - month} * interval '1 month', '${told.source}',
        ${eventId(told)}, '${told.type}', '${told.aggregate}/' || ${told.id}, ${told.version}, ${envelope(told)}
      from generate_series(1, ${ROWS}) as i`,
    ),
    all(`insert into dead_letters (group_name, place, subject, event, broken, error, attempts, failed_at, discarded_at,
        discarded_by, discard_reason)
      select 'view-' || (array['users', 'orders'])[i % 2 + 1], 'log:' || i, 'order/' || ${ORDER},
        json_build_object('id', ${eventId({ ...(TOLD[1] as Told) })}, 'type', 'OrderCreated', 'aggregateVersion', 1), false,
        'refused', 6, ${AT}, ${AT}, 'operator', 'no longer needed'`),
  ],
  gateway: [],
};

/** Fills the databases set by set, two at a time, and has their statistics made. Nothing else may be connected. */
export async function generate({ adminUrl }: Pick<TestDatabases, 'adminUrl'>): Promise<void> {
  const due = (Object.keys(STATEMENTS) as DatabaseName[]).filter((name) => STATEMENTS[name].length > 0);
  const worker = async (): Promise<void> => {
    for (let name = due.shift(); name !== undefined; name = due.shift()) await fill(adminUrl(name), STATEMENTS[name]);
  };
  await Promise.all([worker(), worker()]);
}

/** Without triggers and foreign keys, whose work it would be to look at each row by itself. */
async function fill(url: string, statements: readonly string[]): Promise<void> {
  const admin = new pg.Client({ connectionString: url });
  await admin.connect();
  try {
    await admin.query('set session_replication_role = replica');
    for (const statement of statements) await admin.query(statement);
    await admin.query('vacuum (analyze)');
  } finally {
    await admin.end();
  }
}

/** How many rows each table has by its statistics, by `<database>.<table>`. */
export async function tableSizes({ adminUrl }: Pick<TestDatabases, 'adminUrl'>): Promise<TableSizes> {
  const sizes = new Map<string, number>();
  for (const database of Object.keys(STATEMENTS) as DatabaseName[]) {
    const admin = new pg.Client({ connectionString: adminUrl(database) });
    await admin.connect();
    try {
      const { rows } = await admin.query<{ name: string; rows: number }>(
        `select relname as name, greatest(reltuples, 0)::float8 as rows from pg_class
         where relkind = 'r' and relnamespace = 'public'::regnamespace`,
      );
      for (const { name, rows: count } of rows) sizes.set(`${database}.${name}`, count);
    } finally {
      await admin.end();
    }
  }
  return sizes;
}
