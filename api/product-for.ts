import { CheckoutError } from '../domain/errors.ts';
import { databaseId } from './contract/fields.ts';

export const noSuchProduct = (): CheckoutError => new CheckoutError('NOT_FOUND', 'there is no such product');

/** The product id of a path. @throws CheckoutError NOT_FOUND for what no product has as its id */
export function productIdOf(value: unknown): string {
  const id = databaseId.safeParse(value);
  if (!id.success) throw noSuchProduct();
  return id.data;
}
