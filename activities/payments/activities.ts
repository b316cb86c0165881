import { withRefusals } from '../refusals.ts';
import { abandon } from './abandon.ts';
import { capture } from './capture.ts';
import type { Abandoned, CaptureInput, PaymentDeps, PaymentState, Settled } from './contract.ts';
import { settle } from './settle.ts';

/** The steps of the payment service (task queue `payments`, source document 1, step 5). */
export const paymentActivities = (deps: PaymentDeps) =>
  withRefusals({
    /**
     * Takes the money, once, whatever is repeated. No transaction is open while the gateway is asked.
     *
     * @throws CheckoutError PAYMENT_DECLINED, PAYMENT_METHOD_INVALID, PAYMENT_AMOUNT_MISMATCH, on record;
     *   CHECKOUT_ABANDONED after an undo. Any other error leaves the charge in doubt: repeat it or settle.
     */
    capturePayment: (input: CaptureInput): Promise<PaymentState> => capture(deps, input),

    /**
     * Undo of `capturePayment`, first half: decides the race against a capture in the database alone. Repeat-safe.
     * Leaves its mark also where there is no payment.
     */
    abandonPayment: ({ orderId }: Readonly<{ orderId: string }>): Promise<Abandoned> =>
      deps.payment.$transaction((tx) => abandon(tx, orderId)),

    /**
     * Undo of `capturePayment`, second half: asks the gateway until it is certain that no money is kept, and gives
     * back what was taken. Repeat-safe.
     *
     * @throws CheckoutError PAYMENT_AMOUNT_MISMATCH after such a refund: a person must look
     */
    settleWithGateway: ({ orderId }: Readonly<{ orderId: string }>): Promise<Settled> => settle(deps, orderId),
  });

export type PaymentActivities = ReturnType<typeof paymentActivities>;
