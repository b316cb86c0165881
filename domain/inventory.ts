import type { Refusal } from './errors.ts';

/** One row of stock. Ids are strings, so that they fit workflow payloads and JSON. */
export type Stock = Readonly<{ id: string; available: number; reserved: number; version: number }>;

/** A merged order line with the stock row that serves it, locked by the caller; null where there is no such stock. */
export type StockLine<S extends Stock = Stock> = Readonly<{ lineNo: number; quantity: number; stock: S }>;

export type MovementType = 'RESERVED' | 'COMMITTED' | 'RELEASED' | 'ADJUSTED';

/** One change of one stock row: the ledger's line, before and after. */
export type Movement<S extends Stock = Stock> = Readonly<{
  type: MovementType;
  lineNo: number;
  quantityChange: number;
  reservedChange: number;
  before: S;
  after: S;
}>;

/** All lines or none: every line that falls short is named in the refusal. */
export function reserve<S extends Stock>(
  lines: readonly (StockLine<S> | Readonly<{ lineNo: number; quantity: number; stock: null }>)[],
): Movement<S>[] | Refusal {
  const served = lines.filter((line): line is StockLine<S> => line.stock !== null);
  const short = lines.filter(({ stock, quantity }) => (stock?.available ?? 0) < quantity);
  if (short.length === 0) return served.map((line) => move('RESERVED', line, -line.quantity, +line.quantity));

  const detail = short.map(({ lineNo, quantity, stock }) => ({
    lineNo,
    asked: quantity,
    available: stock?.available ?? 0,
  }));
  return { code: 'OUT_OF_STOCK', message: `${short.length} of ${lines.length} lines are short`, detail };
}

/** The sale is final: the reservation is consumed, available stays. */
export const commit = <S extends Stock>(lines: readonly StockLine<S>[]): Movement<S>[] =>
  lines.map((line) => move('COMMITTED', line, 0, -line.quantity));

/** The reservation goes back to where it came from. */
export const release = <S extends Stock>(lines: readonly StockLine<S>[]): Movement<S>[] =>
  lines.map((line) => move('RELEASED', line, +line.quantity, -line.quantity));

/** Units that were sold come back and are on sale again. */
export const takeBack = <S extends Stock>(lines: readonly StockLine<S>[]): Movement<S>[] =>
  lines.map((line) => move('ADJUSTED', line, +line.quantity, 0));

function move<S extends Stock>(
  type: MovementType,
  { lineNo, stock }: StockLine<S>,
  quantityChange: number,
  reservedChange: number,
): Movement<S> {
  const after = {
    ...stock,
    available: stock.available + quantityChange,
    reserved: stock.reserved + reservedChange,
    version: stock.version + 1,
  };
  return { type, lineNo, quantityChange, reservedChange, before: stock, after };
}
