import type { Money } from '../domain/money.ts';
import type { Databases } from '../infra/databases.ts';
import { GatewayError } from './answers.ts';
import { bookCapture } from './bookings.ts';
import * as charges from './charges.ts';
import { mustLock } from './operations.ts';

/** The card's bank asked its owner, who did not agree. */
const NOT_AGREED = 'authentication_failed';

/**
 * The shopper's bank sends money to the charge's account: what was asked for, or another amount, which is taken too.
 *
 * @throws GatewayError not_awaiting_payment when the account is closed or paid: the money goes back to its bank
 */
export function transfer(db: Databases['gateway'], providerId: string, amount?: Money): Promise<charges.ChargeJson> {
  return whileAwaiting(db, providerId, 'bank_transfer', (tx, charge) =>
    bookCapture(tx, providerId, amount ?? charge.amount),
  );
}

/**
 * The same for whoever knows the account alone, as a shopper does.
 *
 * @param late the money was on its way when the account was closed: it is taken all the same
 * @throws GatewayError unknown_charge for no account of ours, not_awaiting_payment as `transfer`
 */
export async function transferTo(
  db: Databases['gateway'],
  { account, amount, late }: Readonly<{ account: string; amount?: Money | undefined; late: boolean }>,
): Promise<charges.ChargeJson> {
  return db.$transaction(async (tx) => {
    const providerId = await charges.findByAccount(tx, account);
    const charge = providerId === undefined ? undefined : await charges.lockCharge(tx, providerId);
    if (charge === undefined) throw new GatewayError('unknown_charge', 'there is no such account');
    const accepts = charge.status === 'requires_confirmation' || (late && charge.status === 'cancelled');
    if (!accepts)
      throw new GatewayError('not_awaiting_payment', `this account is closed: its charge is ${charge.status}`);
    await bookCapture(tx, charge.providerId, amount ?? charge.amount);
    return charges.charged(await mustLock(tx, charge.providerId));
  });
}

/**
 * The card's owner agrees at the bank, or does not.
 *
 * @throws GatewayError not_awaiting_payment when the charge has ended, or waits for no card
 */
export function authorize(
  db: Databases['gateway'],
  providerId: string,
  outcome: 'approve' | 'decline',
): Promise<charges.ChargeJson> {
  return whileAwaiting(db, providerId, 'card', (tx, charge) =>
    outcome === 'approve'
      ? bookCapture(tx, providerId, charge.amount)
      : charges.move(tx, providerId, { status: 'declined', declineCode: NOT_AGREED }),
  );
}

/**
 * Closes what waits for the shopper, as the provider does when its own time is over.
 *
 * @throws GatewayError not_awaiting_payment when the charge has ended already
 */
export function expire(db: Databases['gateway'], providerId: string): Promise<charges.ChargeJson> {
  return whileAwaiting(db, providerId, undefined, (tx) => charges.move(tx, providerId, { status: 'cancelled' }));
}

type Transaction = Parameters<typeof mustLock>[0];

async function whileAwaiting(
  db: Databases['gateway'],
  providerId: string,
  method: charges.ChargeJson['method'] | undefined,
  act: (tx: Transaction, charge: charges.LockedCharge) => Promise<void>,
): Promise<charges.ChargeJson> {
  return db.$transaction(async (tx) => {
    const charge = await mustLock(tx, providerId);
    const awaits = charge.status === 'requires_confirmation' && (method === undefined || charge.method === method);
    if (!awaits) throw new GatewayError('not_awaiting_payment', `this ${charge.method} charge is ${charge.status}`);
    await act(tx, charge);
    return charges.charged(await mustLock(tx, providerId));
  });
}
