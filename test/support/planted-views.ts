import { query, type TestDatabases } from './databases.ts';
import { VIEW_TABLES } from './views.ts';

/** Damage of one view, and all that the audit says of it: names in braces are ids of rows that are there. */
export type PlantedInView = Readonly<{
  what: string;
  damage: string;
  /** Each row that is named: what it says that is, and that should be. */
  named: Readonly<Record<string, RegExp>>;
}>;

export const PLANTED_IN_VIEWS: readonly PlantedInView[] = [
  {
    what: 'a profile that is not the platform’s, without telling whose it is',
    damage: `update mv_users set email = 'somebody@else.test', status = 'INACTIVE' where user_id = {user}`,
    named: {
      'mv_users {user}':
        /^email \(not shown\), status INACTIVE → email \(not shown\), status ACTIVE, by the database platform: `npm run views:rebuild -- users`$/,
    },
  },
  {
    what: 'a user who is missing',
    damage: 'delete from mv_users where user_id = {user}',
    named: { 'mv_users {user}': /^not there → there, by the database platform: `npm run views:rebuild -- users`$/ },
  },
  {
    what: 'a user whom nobody has made',
    damage: 'insert into mv_users (user_id) values (987654321)',
    named: { 'mv_users 987654321': /^there → not there, by the database platform/ },
  },
  {
    what: 'the last order of a customer at another instant',
    damage: `update mv_users set last_order_date = last_order_date - interval '1 day' where user_id = {customer}`,
    named: {
      'mv_users {customer}': /^last_order_date \S+ → last_order_date \S+, by the rows that it sums: .*-- users/,
    },
  },
  {
    what: 'what an order adds to its customer, with the sum that is none then',
    damage: `update mv_user_orders set spent = spent + 1 where order_id = '{order}'`,
    named: {
      'mv_user_orders {order}': /^spent \d+ → spent \d+, by the database order/,
      'mv_user_totals {customer} KRW': /^total_spent \d+ → total_spent \d+, by the rows that it sums/,
    },
  },
  {
    what: 'a total of a customer that is no sum',
    damage: `update mv_user_totals set total_orders = total_orders + 1 where user_id = {customer} and currency = 'KRW'`,
    named: { 'mv_user_totals {customer} KRW': /^total_orders \d+ → total_orders \d+, by the rows/ },
  },
  {
    what: 'a total of a customer who has none',
    damage: `insert into mv_user_totals (user_id, currency) values ({user}, 'USD')`,
    named: { 'mv_user_totals {user} USD': /^there → not there, by the rows that it sums/ },
  },
  {
    what: 'a product with another price, category and variant',
    damage: `update mv_products set base_price = 1, category_slug = 'elsewhere', parent_category_slug = 'nowhere',
      variants = '[]' where product_id = 101`,
    named: {
      'mv_products 101':
        /^(?=.*base_price 1)(?=.*category_slug elsewhere)(?=.*parent_category_slug nowhere)(?=.*variants \[\]).*→.*platform: `npm run views:rebuild -- products`$/,
    },
  },
  {
    what: 'a product that nobody has made',
    damage: 'insert into mv_products (product_id) values (987654321)',
    named: { 'mv_products 987654321': /^there → not there, by the database platform/ },
  },
  {
    what: 'stock that is not there, and the sum without it',
    damage: `delete from mv_product_stock where aggregate_id = '{stock}'`,
    named: {
      'mv_product_stock {stock}': /^not there → there, by the database platform/,
      'mv_products {stocked}':
        /^stock_status IN_STOCK, available_stock \d+ → stock_status OUT_OF_STOCK, available_stock 0, by the rows/,
    },
  },
  {
    what: 'stock of an older version',
    damage: `update mv_product_stock set reserved_quantity = 7, stock_version = 0 where aggregate_id = '{stock}'`,
    named: {
      'mv_product_stock {stock}': /^stock_version 0, reserved_quantity 7 → stock_version 1, reserved_quantity 0/,
    },
  },
  {
    what: 'a product as out of stock while some of it is not',
    damage: `update mv_products set stock_status = 'OUT_OF_STOCK' where product_id = {stocked}`,
    named: { 'mv_products {stocked}': /^stock_status OUT_OF_STOCK → stock_status IN_STOCK, by the rows/ },
  },
  {
    what: 'units that nobody has bought, and their count',
    damage: `insert into mv_product_purchases (product_id, order_id, units) values (102, '{declined}', 5)`,
    named: {
      'mv_product_purchases 102 {declined}': /^there → not there, by the database order/,
      'mv_products 102': /^purchase_count \d+ → purchase_count \d+, by the rows/,
    },
  },
  {
    what: 'a count of purchases that is no sum',
    damage: 'update mv_products set purchase_count = 0 where product_id = 102',
    named: { 'mv_products 102': /^purchase_count 0 → purchase_count \d+, by the rows/ },
  },
  {
    what: 'an order with other money, lines and instant',
    damage: `update mv_orders set total_amount = 1, items = '[]', paid_at = paid_at + interval '1 microsecond'
      where order_id = '{order}'`,
    named: {
      'mv_orders {order}':
        /^items \[\], paid_at \S+, total_amount 1 → .*by the database order: `npm run views:rebuild -- orders`$/,
    },
  },
  {
    what: 'an order that is missing, with its payment',
    damage: `delete from mv_orders where order_id = '{order}'`,
    named: {
      'mv_orders {order}': /^not there; not there → there, by the database order: .*; there, by the database payment: /,
    },
  },
  {
    what: 'an order that nobody has placed',
    damage: `insert into mv_orders (order_id) values ('{stranger}')`,
    named: { 'mv_orders {stranger}': /→ not there, by the database order/ },
  },
  {
    what: 'the payment of an order in another state',
    damage: `update mv_orders set payment_status = 'PENDING' where order_id = '{order}'`,
    named: { 'mv_orders {order}': /^payment_status PENDING → payment_status CAPTURED, by the database payment/ },
  },
  {
    what: 'a payment with another sum and instant',
    damage: `update mv_payments set captured_amount = 1, captured_at = null where order_id = '{order}'`,
    named: {
      'mv_payments {payment}':
        /^captured_at null, captured_amount 1 → captured_at \S+, captured_amount \d+, by the database payment: .*-- payments/,
    },
  },
  {
    what: 'a payment that is missing',
    damage: `delete from mv_payments where order_id = '{order}'`,
    named: { 'mv_payments {payment}': /^not there → there, by the database payment/ },
  },
  {
    what: 'a sale on another day, with the sums of both',
    damage: `update mv_order_sales set day = day - 400 where order_id = '{order}' and orders = 1`,
    named: {
      'mv_order_sales {order} {long ago}': /^there → not there, by the database order: .*-- sales/,
      'mv_order_sales {order} {today}': /^not there → there/,
      'mv_daily_sales {long ago} KRW': /^not there → there/,
      'mv_daily_sales {today} KRW': /total_orders/,
    },
  },
  {
    what: 'refunds of a day that were never given',
    damage: `update mv_order_sales set refunds = refunds + 1 where order_id = '{refunded}';
      update mv_daily_sales set refunds = refunds + 1 where date = '{today}' and currency = 'KRW'`,
    named: { 'mv_order_sales {refunded} {today}': /^refunds \d+ → refunds \d+, by the database order/ },
  },
  {
    what: 'a day that is no sum of its orders',
    damage: `update mv_daily_sales set gross = gross + 1, unique_customers = 9 where date = '{today}' and currency = 'KRW'`,
    named: {
      'mv_daily_sales {today} KRW': /^gross \d+, unique_customers 9 → gross \d+, unique_customers 1, by the rows/,
    },
  },
  {
    what: 'a day on which nothing was sold',
    damage: `insert into mv_daily_sales (date, currency, items) values ('{long ago}', 'USD', 1),
      ('{long ago}', 'KRW', 0)`,
    named: { 'mv_daily_sales {long ago} USD': /^items 1 → items 0, by the rows/ },
  },
];

/** Remembers the views as they are. @returns puts them back */
export async function savedViews({ adminUrl }: Pick<TestDatabases, 'adminUrl'>): Promise<() => Promise<unknown>> {
  const url = adminUrl('views');
  const tables = VIEW_TABLES.join(',');
  await query(
    url,
    `do $$ declare name text; begin
       create schema saved;
       foreach name in array string_to_array('${tables}', ',') loop
         execute format('create table saved.%I as table public.%I', name, name);
       end loop;
     end $$`,
  );
  return () =>
    query(
      url,
      `do $$ declare name text; names text; begin
         foreach name in array string_to_array('${tables}', ',') loop
           select string_agg(quote_ident(attname), ', ') into names from pg_attribute
           where attrelid = format('public.%I', name)::regclass and attnum > 0 and not attisdropped and attgenerated = '';
           execute format('delete from public.%I', name);
           execute format('insert into public.%I (%s) select %s from saved.%I', name, names, names, name);
         end loop;
       end $$`,
    );
}
