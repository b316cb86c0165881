import { withRefusals } from '../refusals.ts';
import { abandon } from './abandon.ts';
import { capture } from './capture.ts';
import { check } from './check.ts';
import type { Abandoned, AbandonInput, CaptureInput, PaymentDeps, PaymentState, Settled } from './contract.ts';
import { settle } from './settle.ts';

/** The steps of the payment service (task queue `payments`, source document 1, step 5). */
export const paymentActivities = (deps: PaymentDeps) =>
  withRefusals({
    /**
     * Takes the money, once, whatever is repeated, or answers what the shopper must do first and until when. No
     * transaction is open while the gateway is asked. A payment that waits for the shopper asks nothing again.
     *
     * @throws CheckoutError PAYMENT_DECLINED, PAYMENT_METHOD_INVALID, PAYMENT_AMOUNT_MISMATCH, on record;
     *   CHECKOUT_ABANDONED after an undo. Any other error leaves the charge in doubt: repeat it or settle.
     */
    capturePayment: (input: CaptureInput): Promise<PaymentState> => capture(deps, input),

    /**
     * How a payment stands that waits for the shopper: its row, and only while that is undecided the gateway, whose
     * answer is written down. Charges nothing; repeat-safe.
     *
     * @throws CheckoutError the refusal on record, or CHECKOUT_ABANDONED after an undo. Any other error says nothing.
     */
    checkPayment: ({ orderId }: Readonly<{ orderId: string }>): Promise<PaymentState> => check(deps, orderId),

    /**
     * Undo of `capturePayment`, first half: decides the race against a capture in the database alone. Repeat-safe.
     * Leaves its mark also where there is no payment. With `giveBack` the order goes forward in no case: a capture that
     * came first is put on record as owed, so that the reconciler finds it when nobody goes on.
     */
    abandonPayment: ({ orderId, giveBack }: AbandonInput): Promise<Abandoned> =>
      deps.payment.$transaction((tx) => abandon(tx, orderId, giveBack ?? false)),

    /**
     * Undo of `capturePayment`, second half: asks the gateway whether money is kept, closes what is open, and gives
     * back what was taken. Repeat-safe. `LOOK_AGAIN` while a charge may still land: call it again then.
     *
     * @throws CheckoutError REFUND_REFUSED when the gateway refuses for good to close the charge or to give the money
     *   back: repeating it asks again
     */
    settleWithGateway: ({ orderId }: Readonly<{ orderId: string }>): Promise<Settled> => settle(deps, orderId),
  });

export type PaymentActivities = ReturnType<typeof paymentActivities>;
