/** An amount in the currency's smallest unit: 1 is ₩1, 100 is $1.00. Always a safe integer. */
export type Money = Readonly<{ minor: number; currency: string }>;

/** True when both name the same amount of the same currency. */
export const sameMoney = (a: Money, b: Money): boolean => a.minor === b.minor && a.currency === b.currency;

/** Minor units of `quantity` pieces; undefined when the product is no longer a safe integer. */
export function times(unitMinor: number, quantity: number): number | undefined {
  const minor = unitMinor * quantity;
  return Number.isSafeInteger(minor) ? minor : undefined;
}
