/**
 * The single row that a statement must have given.
 *
 * @throws Error when there is none or more: a mistake of ours or a damaged database, so nothing may be committed
 */
export function expectRow<T>(rows: readonly T[]): T {
  const [row] = rows;
  if (row === undefined || rows.length > 1) throw new Error(`expected one row, found ${rows.length}`);
  return row;
}

/**
 * A bigint column as a number, for minor units and versions.
 *
 * @throws RangeError beyond the safe integers, where a number would silently be another amount
 */
export function safeNumber(value: bigint): number {
  const number = Number(value);
  if (!Number.isSafeInteger(number)) throw new RangeError(`${value} is not a safe integer`);
  return number;
}
