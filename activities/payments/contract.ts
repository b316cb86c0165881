import type { Money } from '../../domain/money.ts';
import type { Databases } from '../../infra/databases.ts';
import type { PaymentGateway } from '../../infra/payment-gateway/port.ts';

export type PaymentDeps = Pick<Databases, 'payment'> &
  Readonly<{
    gateway: PaymentGateway;
    /** Aborts a gateway call when the worker must stop; the outcome is then in doubt, never "failed". */
    signal: () => AbortSignal;
  }>;

export type CaptureInput = Readonly<{
  orderId: string;
  customerId: string;
  amount: Money;
  method: 'card';
  /** The provider's single-use token; it is used and never stored. */
  token: string;
}>;
export type Captured = Readonly<{ paymentId: string }>;
export type Abandoned = Readonly<{ outcome: 'CANCELLED' } | { outcome: 'ALREADY_CAPTURED'; paymentId: string }>;
export type Settled = Readonly<{ outcome: 'NOTHING_CHARGED' | 'REFUNDED' }>;
