import type { BookedCharge, GatewayLedger, LedgerQuery } from '../payment-gateway/ledger.ts';
import { CannotLook } from './snapshot.ts';

/**
 * What the provider's books say, by its id of each charge whose order id `wanted` takes; the caller bounds memory with it.
 *
 * @throws CannotLook when they cannot be read to the end: nobody knows what the rest would say
 */
export async function bookedCharges(
  ledger: GatewayLedger,
  query: LedgerQuery,
  wanted: (orderId: string) => boolean = () => true,
): Promise<Map<string, BookedCharge>> {
  const charges = new Map<string, BookedCharge>();
  try {
    for await (const charge of ledger.charges(query))
      if (wanted(charge.orderId)) charges.set(charge.providerId, charge);
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    throw new CannotLook(
      `The books of the payment provider ${ledger.provider} cannot be read: ${why}. Start it or correct its settings, or leave out invariants 4 and 5 with --only.`,
      { cause: error, what: `the books of ${ledger.provider}` },
    );
  }
  return charges;
}
