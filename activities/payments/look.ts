import type { Charge } from '../../domain/payment.ts';
import type { PaymentDeps } from './contract.ts';
import type { PaymentRow } from './tables.ts';

/**
 * What the gateway says about a payment's charge.
 *
 * @throws GatewayOutage when it does not say
 * @throws Error when it knows no such charge. It gave us this id, so that is no answer: the charge may still land
 */
export async function lookUp(deps: Pick<PaymentDeps, 'gateway' | 'signal'>, payment: PaymentRow): Promise<Charge> {
  const found = await deps.gateway.lookup(providerIdOf(deps, payment), deps.signal());
  if (found === undefined) throw new Error(`the gateway does not know the charge of order ${payment.orderId}`);
  return found;
}

/**
 * The provider's id of a payment.
 *
 * @throws Error when it was never given, or when it is of another provider than the one that would be asked
 */
export function providerIdOf(
  { gateway }: Pick<PaymentDeps, 'gateway'>,
  { orderId, provider, providerId }: PaymentRow,
): string {
  if (provider !== gateway.provider) {
    throw new Error(`order ${orderId} is paid through ${provider}, but this worker asks ${gateway.provider}`);
  }
  if (providerId === null) throw new Error(`the gateway never gave an id to the payment of order ${orderId}`);
  return providerId;
}
