import type { Money } from '../../domain/money.ts';

/** Stripe's smallest unit is that of ISO 4217: two decimals. */
const TWO_DECIMALS = `
  AED AFN ALL AMD ANG AOA ARS AUD AWG AZN BAM BBD BDT BGN BMD BND BOB BRL BSD BWP BYN BZD CAD CDF CHF CNY COP CRC CVE
  CZK DKK DOP DZD EGP ETB EUR FJD FKP GBP GEL GIP GMD GTQ GYD HKD HNL HTG HUF IDR ILS INR JMD KES KGS KHR KYD KZT LAK
  LBP LKR LRD LSL MAD MDL MKD MMK MNT MOP MUR MVR MWK MXN MYR MZN NAD NGN NIO NOK NPR NZD PAB PEN PGK PHP PKR PLN QAR
  RON RSD RUB SAR SBD SCR SEK SGD SHP SLE SOS SRD SZL THB TJS TOP TRY TTD TWD TZS UAH USD UYU UZS WST XCD YER ZAR ZMW`;
/** The same without decimals: one unit is one won. */
const NO_DECIMALS = 'BIF CLP DJF GNF JPY KMF KRW PYG RWF VND VUV XAF XOF XPF';
/** Three decimals, of which Stripe takes only those that end in 0. */
const THREE_DECIMALS = 'BHD JOD KWD OMR TND';
/** No decimals in ISO 4217, but Stripe still counts hundredths, which must be 00. */
const IN_HUNDREDTHS = 'ISK UGX';
/** Two decimals in ISO 4217, but Stripe counts whole units. */
const IN_WHOLE_UNITS = 'MGA';

/** Stripe's amount is ours times `times` divided by `by`; both amounts must be whole, Stripe's a multiple of `step`. */
type Scale = Readonly<{ times: number; by: number; step: number }>;

const scaled = (currencies: string, scale: Partial<Scale>): [string, Scale][] =>
  currencies
    .split(/\s+/)
    .filter((currency) => currency !== '')
    .map((currency) => [currency, { times: 1, by: 1, step: 1, ...scale }]);

/** https://docs.stripe.com/currencies, "Zero-decimal", "Three-decimal" and "Special cases". */
const SCALES: ReadonlyMap<string, Scale> = new Map([
  ...scaled(TWO_DECIMALS, {}),
  ...scaled(NO_DECIMALS, {}),
  ...scaled(THREE_DECIMALS, { step: 10 }),
  ...scaled(IN_HUNDREDTHS, { times: 100 }),
  ...scaled(IN_WHOLE_UNITS, { by: 100 }),
]);

/** An amount as Stripe writes it: an integer of its own smallest unit, and the code in lower case. */
export type StripeAmount = Readonly<{ amount: number; currency: string }>;

/** Our amount in Stripe's unit; undefined when Stripe cannot take exactly this amount of this currency. */
export function toStripe({ minor, currency }: Money): StripeAmount | undefined {
  const scale = SCALES.get(currency);
  if (scale === undefined) return undefined;
  const amount = (minor * scale.times) / scale.by;
  if (!Number.isSafeInteger(amount) || amount % scale.step !== 0) return undefined;
  return { amount, currency: currency.toLowerCase() };
}

/** Stripe's amount in our unit; undefined when it is no whole number of ours, or the currency is unknown. */
export function fromStripe({ amount, currency }: StripeAmount): Money | undefined {
  const code = currency.toUpperCase();
  const scale = SCALES.get(code);
  if (scale === undefined) return undefined;
  const minor = (amount * scale.by) / scale.times;
  return Number.isSafeInteger(minor) ? { minor, currency: code } : undefined;
}
