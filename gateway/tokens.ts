/** What a card token makes the gateway do at confirm. */
export type Behaviour = Readonly<
  | { outcome: 'declined'; declineCode: string }
  | { outcome: 'requires_confirmation' }
  | {
      outcome: 'captured';
      /** Captured only after the gateway's processing time. */
      slow?: true;
      /** Captures, but the answer of the attempt that did never arrives. */
      hangAfter?: true;
      /** What the first attempts of the charge meet, with nothing taken: one that hangs, or a few 500s. */
      failFirst?: 'hang' | 'error_500';
      captureWrong?: 'amount';
    }
>;

const BEHAVIOUR_OF = new Map<string, Behaviour>([
  ['tok_ok', { outcome: 'captured' }],
  ['tok_declined', { outcome: 'declined', declineCode: 'card_declined' }],
  ['tok_insufficient_funds', { outcome: 'declined', declineCode: 'insufficient_funds' }],
  ['tok_slow', { outcome: 'captured', slow: true }],
  ['tok_timeout_after_charge', { outcome: 'captured', hangAfter: true }],
  ['tok_timeout_before_charge', { outcome: 'captured', failFirst: 'hang' }],
  ['tok_error_500', { outcome: 'captured', failFirst: 'error_500' }],
  ['tok_wrong_amount', { outcome: 'captured', captureWrong: 'amount' }],
  ['tok_requires_confirmation', { outcome: 'requires_confirmation' }],
]);

/** @returns undefined for a token that the gateway does not know */
export const behaviourOf = (token: string): Behaviour | undefined => BEHAVIOUR_OF.get(token);

/** What a transfer, which has no token, makes the gateway do at confirm. */
export const TRANSFER: Behaviour = { outcome: 'requires_confirmation' };
