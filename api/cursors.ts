import { CheckoutError } from '../domain/errors.ts';
import { isDatabaseId } from '../domain/ids.ts';
import type { OrderPosition } from '../projections/read-orders.ts';

// A cursor is opaque so that it may become something else. It says where a page ended, never what its reader may see.

export const productCursor = (lastId: string): string => encoded(lastId);

/** The id of the last product of the page before. @throws CheckoutError MALFORMED_REQUEST */
export function productAfter(cursor: string): string {
  const id = decoded(cursor);
  if (!isDatabaseId(id)) throw notOurs();
  return id;
}

export const ledgerCursor = (lastId: string): string => encoded(`l${lastId}`);

/** The id of the last movement of the page before. @throws CheckoutError MALFORMED_REQUEST */
export function ledgerAfter(cursor: string): string {
  const [, id] = /^l(\d+)$/.exec(decoded(cursor)) ?? [];
  if (id === undefined || !isDatabaseId(id)) throw notOurs();
  return id;
}

export const orderCursor = ({ placedAtMicros, orderId }: OrderPosition): string =>
  encoded(`${placedAtMicros}.${orderId}`);

/** Where the page before ended. @throws CheckoutError MALFORMED_REQUEST */
export function orderAfter(cursor: string): OrderPosition {
  const [, placedAtMicros, orderId] = ORDER_POSITION.exec(decoded(cursor)) ?? [];
  if (placedAtMicros === undefined || orderId === undefined) throw notOurs();
  return { placedAtMicros, orderId };
}

/** Microseconds since 1970, no later than the year 5138, and a UUID. */
const ORDER_POSITION = /^(\d{1,17})\.([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})$/;

const encoded = (text: string): string => Buffer.from(text, 'ascii').toString('base64url');

/** Node reads what is no base64url as well as it can: only what it would write itself is ours. */
function decoded(cursor: string): string {
  const text = Buffer.from(cursor, 'base64url').toString('ascii');
  if (cursor === '' || encoded(text) !== cursor) throw notOurs();
  return text;
}

const notOurs = (): CheckoutError =>
  new CheckoutError('MALFORMED_REQUEST', 'cursor must be a `next` of an earlier answer');
