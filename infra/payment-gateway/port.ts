import type { PaymentChoice } from '../../domain/checkout.ts';
import type { Money } from '../../domain/money.ts';
import type { Charge, ChargeStatus, PaymentMethod } from '../../domain/payment.ts';

export type { Charge, ChargeStatus };

/** What is charged, before anybody is. */
export type ChargeRequest = Readonly<{ orderId: string; amount: Money; method: PaymentMethod }>;

/** How a refund stands. `failed` is final: the money is still ours. */
export type GatewayRefund = Readonly<{ status: 'succeeded' | 'pending' | 'failed'; failureCode: string | null }>;

/**
 * What the shop needs from a payment provider (source document 1, step 5). One attempt per call: Temporal retries.
 * Any error but the one below leaves the outcome in doubt: never read it as "not charged".
 *
 * @throws GatewayRefusal a final "no" to this very request
 */
export interface PaymentGateway {
  readonly provider: string;
  /** After this time a charge that was asked for has either landed or never will, milliseconds. */
  readonly maxProcessingMs: number;
  /** Opens a charge without taking money. Repeat-safe by order id. @returns the provider's id */
  prepare(request: ChargeRequest, signal?: AbortSignal): Promise<string>;
  /** Takes the money, or says what the shopper must do first. Repeat-safe by order id; a decline is an answer. */
  confirm(orderId: string, providerId: string, choice: PaymentChoice, signal?: AbortSignal): Promise<Charge>;
  /** @returns undefined when the provider knows no such charge */
  lookup(providerId: string, signal?: AbortSignal): Promise<Charge | undefined>;
  /** Closes an open charge. Repeat-safe; answers the charge as it is now, which may be captured. */
  cancel(providerId: string, signal?: AbortSignal): Promise<Charge>;
  /** Gives money back, once per refund key, also when the provider has long forgotten the key. */
  refund(providerId: string, refundKey: string, amount: Money, signal?: AbortSignal): Promise<GatewayRefund>;
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
