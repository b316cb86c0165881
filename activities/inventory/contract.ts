/** The inventory service's half of returns and repairs. */
export interface InventoryReturnActivities {
  /** Puts returned units on sale again: ADJUSTED, reason RETURN, once per refund and line (source document 2.3). */
  restock(
    input: Readonly<{
      refundId: string;
      orderId: string;
      lines: readonly Readonly<{ lineNo: number; quantity: number }>[];
    }>,
  ): Promise<void>;
  /** The header of an order; null where the inventory service never heard of it. */
  readHeader(input: Readonly<{ orderId: string }>): Promise<HeaderState | null>;
  /** Orders whose stock is set aside. */
  findReservedOrders(
    page: Readonly<{ after: string | null; limit: number }>,
  ): Promise<Readonly<{ items: readonly Readonly<{ orderId: string }>[]; next: string | null }>>;
}

export type HeaderState = Readonly<{
  customerId: string;
  requestHash: string;
  state: 'RESERVED' | 'REFUSED' | 'RELEASED' | 'COMMITTED' | null;
}>;
