import { randomInt } from 'node:crypto';

import type { Money } from '../domain/money.ts';
import type { PaymentInstructions } from '../domain/payment.ts';
import type { Databases, SqlTransaction } from '../infra/databases.ts';
import { errorAnswer, type Outcome } from './answers.ts';
import { bookCapture } from './bookings.ts';
import * as charges from './charges.ts';
import type { Fault } from './faults.ts';
import { type Claim, storeAnswer } from './keys.ts';
import { mustLock } from './operations.ts';
import { sleep } from './sleep.ts';
import type { Behaviour } from './tokens.ts';

export type ConfirmCall = Readonly<{
  claim: Claim;
  providerId: string;
  behaviour: Behaviour;
  fault: Fault | undefined;
  /** Processing time of a slow capture, milliseconds. */
  slowMs: number;
  /** How many attempts `tok_error_500` fails. */
  failures: number;
  /** Where a shopper's browser reaches the gateway. */
  publicUrl: string;
  /** Aborted when the caller has hung up: the charge then goes on without anybody waiting. */
  gone: AbortSignal;
}>;

type Step = Outcome | Readonly<{ waitMs: number }>;

/** Takes the money, or does what the token says. No transaction is open while a slow charge is processing. */
export async function confirm(db: Databases['gateway'], call: ConfirmCall): Promise<Outcome> {
  for (let attempt: 'first' | 'later' = 'first'; ; attempt = 'later') {
    const step = await db.$transaction((tx) => tryConfirm(tx, call, attempt === 'first'));
    if (!('waitMs' in step)) return step;
    await sleep(step.waitMs, call.gone);
    if (call.gone.aborted) return { connection: 'cut', answer: undefined };
  }
}

async function tryConfirm(tx: SqlTransaction, call: ConfirmCall, first: boolean): Promise<Step> {
  const { providerId, behaviour, fault, claim } = call;
  const charge = await mustLock(tx, providerId);
  if (charge.dueInMs !== null) return { waitMs: charge.dueInMs };

  const takesNothingYet = charges.isOpen(charge);
  if (takesNothingYet && first) {
    await charges.countAttempt(tx, providerId);
    const failed = failedAttempt(call, charge.confirmAttempts);
    if (failed !== undefined) return failed;
  }
  if (takesNothingYet) {
    if (fault?.kind === 'land_late') {
      await charges.move(tx, providerId, { status: 'processing', captureInMs: fault.ms });
      return { connection: 'cut', answer: undefined };
    }
    if (fault?.kind === 'land_anyway') {
      await charges.landLater(tx, providerId, fault.ms);
      return { connection: 'cut', answer: undefined };
    }
    if (behaviour.outcome === 'captured' && behaviour.slow === true) {
      await charges.move(tx, providerId, { status: 'processing', captureInMs: call.slowMs });
      return { waitMs: call.slowMs };
    }
    await settle(tx, charge, call);
  }

  const stored = await storeAnswer(tx, claim, {
    status: 200,
    body: charges.charged(await mustLock(tx, providerId)),
  });
  const hangs = takesNothingYet && behaviour.outcome === 'captured' && behaviour.hangAfter === true;
  return hangs ? { connection: 'hang', answer: stored.answer } : stored;
}

/** An attempt that ends before any money moves; the count of attempts is kept, so that a later one succeeds. */
function failedAttempt({ behaviour, failures }: ConfirmCall, attemptsBefore: number): Outcome | undefined {
  if (behaviour.outcome !== 'captured') return undefined;
  if (behaviour.failFirst === 'hang' && attemptsBefore === 0) return { connection: 'hang', answer: undefined };
  if (behaviour.failFirst === 'error_500' && attemptsBefore < failures) {
    return { connection: 'answer', answer: errorAnswer('server_error', 'the gateway failed') };
  }
  return undefined;
}

async function settle(
  tx: SqlTransaction,
  charge: charges.LockedCharge,
  { behaviour, fault, publicUrl }: ConfirmCall,
): Promise<void> {
  const { providerId, amount } = charge;
  switch (behaviour.outcome) {
    case 'declined':
      return charges.move(tx, providerId, { status: 'declined', declineCode: behaviour.declineCode });
    case 'requires_confirmation': {
      const instructions = instructionsFor(charge, publicUrl);
      return charges.move(tx, providerId, { status: 'requires_confirmation', instructions });
    }
    case 'captured': {
      const wrongAmount = behaviour.captureWrong === 'amount' || fault?.kind === 'wrong_amount';
      return bookCapture(tx, providerId, taken(amount, wrongAmount, fault?.kind === 'wrong_currency'));
    }
  }
}

/** A virtual account of the charge's own, or the page where the card's owner agrees. */
function instructionsFor({ method, providerId }: charges.ChargeJson, publicUrl: string): PaymentInstructions {
  if (method === 'card') return { type: 'redirect', url: `${publicUrl}/pay/${providerId}` };
  const digits = String(randomInt(0, 10 ** 12)).padStart(12, '0');
  return {
    type: 'bank_transfer',
    bank: 'Simulated Bank',
    account: `110-${digits.slice(0, 6)}-${digits.slice(6)}`,
    reference: providerId.slice(-12).toUpperCase(),
  };
}

/** What is really taken: one minor unit off where the amount is to be wrong, still a safe integer. */
function taken({ minor, currency }: Money, wrongAmount: boolean, wrongCurrency: boolean): Money {
  const off = minor === Number.MAX_SAFE_INTEGER ? -1 : 1;
  return {
    minor: wrongAmount ? minor + off : minor,
    currency: wrongCurrency ? (currency === 'USD' ? 'KRW' : 'USD') : currency,
  };
}
