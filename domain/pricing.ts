import type { CartLine, PricedLine } from './checkout.ts';
import type { Refusal } from './errors.ts';
import { type Money, sameMoney, times } from './money.ts';

/** What the catalogue says about one cart line; null fields where the product or the variant is unknown. */
export type CatalogueEntry = Readonly<{
  lineNo: number;
  product: Readonly<{ sku: string; name: string; forSale: boolean; hasVariants: boolean; price: Money }> | null;
  variant: Readonly<{ sku: string; name: string; forSale: boolean; priceMinor: number | null }> | null;
}>;

export type PricedCart = Readonly<{ lines: readonly PricedLine[]; total: Money }>;

/**
 * Equal lines become one, under the lowest line number: two lines of one product must not be checked against the
 * same stock twice.
 */
export function mergeLines(lines: readonly CartLine[]): CartLine[] {
  const merged = new Map<string, CartLine>();
  for (const line of [...lines].sort((a, b) => a.lineNo - b.lineNo)) {
    const key = `${line.productId}/${line.variantId ?? ''}/${line.locationCode}`;
    const first = merged.get(key);
    merged.set(key, first === undefined ? line : { ...first, quantity: first.quantity + line.quantity });
  }
  return [...merged.values()];
}

/** Prices every line from the catalogue, or says no: to the first kind of problem, naming all lines that have it. */
export function priceCart(
  lines: readonly CartLine[],
  entries: readonly CatalogueEntry[],
  expectedTotal: Money | null,
): PricedCart | Refusal {
  const entryOf = new Map(entries.map((entry) => [entry.lineNo, entry]));
  const unknown: number[] = [];
  const notForSale: number[] = [];
  const priced: PricedLine[] = [];
  for (const line of lines) {
    const { product, variant } = entryOf.get(line.lineNo) ?? { product: null, variant: null };
    const variantFits = product?.hasVariants === (line.variantId !== null);
    if (product === null || !variantFits || (line.variantId !== null && variant === null)) unknown.push(line.lineNo);
    else if (!product.forSale || variant?.forSale === false) notForSale.push(line.lineNo);
    else priced.push(priceLine(line, product, variant));
  }
  if (unknown.length > 0) return refuseLines('UNKNOWN_PRODUCT', 'no such product or variant', unknown);
  if (notForSale.length > 0) return refuseLines('PRODUCT_NOT_FOR_SALE', 'not for sale', notForSale);

  const currencies = [...new Set(priced.map(({ unitPrice }) => unitPrice.currency))];
  const [currency] = currencies;
  if (currency === undefined) return { code: 'INVALID_REQUEST', message: 'a cart needs at least one line' };
  if (currencies.length > 1) {
    return { code: 'MIXED_CURRENCY', message: 'all lines must have one currency', detail: { currencies } };
  }
  const total = { minor: priced.reduce((sum, { lineTotal }) => sum + lineTotal.minor, 0), currency };
  if (!Number.isSafeInteger(total.minor)) return { code: 'AMOUNT_OUT_OF_RANGE', message: 'the total is too large' };
  // Nothing to charge means that no gateway can be asked.
  if (total.minor === 0) return { code: 'AMOUNT_OUT_OF_RANGE', message: 'the total must be more than nothing' };
  if (expectedTotal !== null && !sameMoney(expectedTotal, total)) {
    return { code: 'PRICE_CHANGED', message: 'the total is no longer what was expected', detail: { total } };
  }
  return { lines: priced, total };
}

function priceLine(
  line: CartLine,
  product: NonNullable<CatalogueEntry['product']>,
  variant: CatalogueEntry['variant'],
): PricedLine {
  const unitPrice = { minor: variant?.priceMinor ?? product.price.minor, currency: product.price.currency };
  return {
    lineNo: line.lineNo,
    productId: line.productId,
    variantId: line.variantId,
    locationCode: line.locationCode,
    sku: variant?.sku ?? product.sku,
    name: variant === null ? product.name : `${product.name}, ${variant.name}`,
    variantName: variant?.name ?? null,
    unitPrice,
    quantity: line.quantity,
    // An unsafe product is caught with the total, which it makes unsafe too.
    lineTotal: { ...unitPrice, minor: times(unitPrice.minor, line.quantity) ?? Number.MAX_VALUE },
  };
}

const refuseLines = (code: Refusal['code'], what: string, lineNos: readonly number[]): Refusal => ({
  code,
  message: `lines ${lineNos.join(', ')}: ${what}`,
  detail: lineNos.map((lineNo) => ({ lineNo })),
});
