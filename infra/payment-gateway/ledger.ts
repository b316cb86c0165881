/** What a provider's books say about one charge. Amounts are minor units. */
export type BookedCharge = Readonly<{
  providerId: string;
  orderId: string;
  captured: number;
  refunded: number;
  currency: string;
}>;

export type LedgerQuery = Readonly<{
  /** Only charges on which money moved at or after this instant; all when undefined. */
  since?: Date | undefined;
  /** Only charges of these orders; all when undefined. */
  orderIds?: readonly string[] | undefined;
  /** Only these charges, by the provider's ids; all when undefined. Never costs more than they are many. */
  providerIds?: readonly string[] | undefined;
  /** Told how many entries were read so far. */
  say?: ((entries: number) => void) | undefined;
  signal?: AbortSignal | undefined;
}>;

/**
 * The provider's own books: what really happened to money. A charge that took nothing may be missing.
 *
 * @throws GatewayOutage when they cannot be read to the end
 */
export interface GatewayLedger {
  readonly provider: string;
  /** Every charge with the sums of all its entries, also of those before `since`. */
  charges(query: LedgerQuery): AsyncIterable<BookedCharge>;
}
