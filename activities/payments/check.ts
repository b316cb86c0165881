import type { PaymentDeps, PaymentState } from './contract.ts';
import { learn, readStanding, stateOf } from './learn.ts';
import { lookUp } from './look.ts';
import type { PaymentRow } from './tables.ts';

/** The row first; the gateway only while nothing is decided. */
export async function check(deps: PaymentDeps, orderId: string): Promise<PaymentState> {
  const standing = await readStanding(deps.payment, orderId);
  const { mark, payment } = standing;
  const open = mark.decision === null && payment !== undefined;
  const state = stateOf(orderId, open ? await ask(deps, payment) : standing);
  if (state === undefined) throw new Error(`nothing is known of the payment of order ${orderId} yet`);
  return state;
}

async function ask(deps: PaymentDeps, payment: PaymentRow) {
  const charge = await lookUp(deps, payment);
  return deps.payment.$transaction((tx) => learn(tx, payment.orderId, charge, null));
}
