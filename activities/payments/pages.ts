import type { Page } from './contract.ts';

/** A position in a list: the columns that it is ordered by, as text. It is the caller's to hand back, not to read. */
export const keyOf = (...columns: readonly string[]): string => JSON.stringify(columns);

/**
 * The columns of a position; `first` where the list begins.
 *
 * @throws Error for a text that is no position of this list
 */
export function readKey<const T extends readonly string[]>(key: string | null, first: T): { [K in keyof T]: string } {
  const columns: unknown = key === null ? first : JSON.parse(key);
  if (!isKey(columns, first)) throw new Error('this is no position in this list');
  return columns;
}

const isKey = <T extends readonly string[]>(value: unknown, like: T): value is { [K in keyof T]: string } =>
  Array.isArray(value) && value.length === like.length && value.every((part) => typeof part === 'string');

/** A page of what a statement with this limit gave. A page that is not full is the last. */
export function pageOf<Row, T>(
  rows: readonly Row[],
  limit: number,
  itemOf: (row: Row) => T,
  keyOf: (row: Row) => string,
): Page<T> {
  const last = rows.at(-1);
  return { items: rows.map(itemOf), next: last === undefined || rows.length < limit ? null : keyOf(last) };
}
