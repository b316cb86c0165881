import type { Money } from '../../domain/money.ts';
import type { Charge, ChargeStatus } from '../../domain/payment.ts';

export type { Charge, ChargeStatus };

/**
 * What the shop needs from a payment provider (source document 1, step 5). One attempt per call: Temporal retries.
 * Any error but the one below leaves the outcome in doubt: never read it as "not charged".
 *
 * @throws GatewayRefusal a final "no" to this very request
 */
export interface PaymentGateway {
  readonly provider: string;
  /** Opens a charge without taking money. Repeat-safe by order id. @returns the provider's id */
  prepare(orderId: string, amount: Money, signal?: AbortSignal): Promise<string>;
  /** Takes the money. Repeat-safe by order id; a decline is an answer, not an error. */
  confirm(orderId: string, providerId: string, token: string, signal?: AbortSignal): Promise<Charge>;
  /** @returns undefined when the provider knows no such charge */
  lookup(providerId: string, signal?: AbortSignal): Promise<Charge | undefined>;
  /** Closes an open charge. Repeat-safe; answers the charge as it is now, which may be captured. */
  cancel(providerId: string, signal?: AbortSignal): Promise<Charge>;
  /** Gives money back. Repeat-safe by refund key. */
  refund(providerId: string, refundKey: string, amount: Money, signal?: AbortSignal): Promise<Charge>;
}

/** Thrown when the gateway refuses a request for good, such as an unknown card token. */
export class GatewayRefusal extends Error {
  readonly gatewayCode: string;

  constructor(gatewayCode: string, message: string) {
    super(message);
    this.name = 'GatewayRefusal';
    this.gatewayCode = gatewayCode;
  }
}
