import { storedAnswer } from '../activities/inventory/stored-answer.ts';
import type { CheckoutInput, PlacedAnswer } from '../domain/checkout.ts';
import { CheckoutError } from '../domain/errors.ts';
import { refuseCardTesting } from './declined-cards.ts';
import type { ApiDeps } from './deps.ts';
import { endOfClosed, hasStarted, refuseReusedKey } from './follow.ts';
import { findOrder } from './order-for.ts';
import { isOutage, isTemporalError, READ_LIMIT_MS, within } from './outage.ts';
import { PLACED_DEADLINE_MS, placeSoon, type Placing, startOnly } from './place.ts';
import type { Preference } from './requests.ts';

/**
 * `underWay`: stock is set aside, so that its workflow has the answer · `unmade`: placed on record, but no order came of it ·
 * `started`: certainly started, and more is not known now.
 */
type Earlier = PlacedAnswer | 'underWay' | 'unmade' | 'started' | undefined;

/** `replayed`: this request was made before, as far as the record tells. */
export type Answered = Readonly<{ answer: PlacedAnswer | 'started'; replayed: boolean }>;

/**
 * The answer of a request: what is on record, or what its workflow says, which is started where there is none. Repeat-safe.
 *
 * @param since when the request came, milliseconds since 1970: waiting is counted from there
 * @throws CheckoutError IDEMPOTENCY_KEY_REUSED when the key belongs to a request with another body
 * @throws CheckoutError TOO_MANY_REQUESTS when too many cards of this customer were declined
 * @throws Unavailable only when the checkout certainly did not start
 */
export async function answerOf(
  deps: ApiDeps,
  input: CheckoutInput,
  preference: Preference,
  since: number,
): Promise<Answered> {
  const earlier = await earlierAnswer(deps, input);
  const replayed = earlier !== undefined;
  if (isKnown(earlier)) return { answer: earlier, replayed };
  if (!replayed) await refuseCardTesting(deps, input);
  try {
    return { answer: await newAnswer(deps, input, preference, since), replayed };
  } catch (error) {
    if (replayed && isOutage(error)) return { answer: 'started', replayed };
    throw error;
  }
}

/** What is on record; where that cannot be read, Temporal may still know that this request is not the first one. */
async function earlierAnswer(deps: ApiDeps, input: CheckoutInput): Promise<Earlier> {
  try {
    return await recordedAnswer(deps, input);
  } catch (error) {
    if (isOutage(error) && (await hasStarted(deps.temporal, input))) return 'started';
    throw error;
  }
}

/** What was answered before, if the order it speaks of was really made: an outage may have come between. */
async function recordedAnswer({ databases }: ApiDeps, input: CheckoutInput): Promise<Earlier> {
  const stored = await within(READ_LIMIT_MS, storedAnswer(databases.platform, input.orderId));
  if (stored === undefined) return undefined;
  if (stored.requestHash !== input.requestHash) {
    throw new CheckoutError('IDEMPOTENCY_KEY_REUSED', 'this key belongs to another request');
  }
  if ('underWay' in stored) return 'underWay';
  if ('refusal' in stored) return stored;
  try {
    return (await findOrder(databases, input)) === undefined ? 'unmade' : stored;
  } catch (error) {
    if (isOutage(error)) return 'started';
    throw error;
  }
}

const isKnown = (earlier: Earlier): earlier is PlacedAnswer | 'started' =>
  earlier !== undefined && earlier !== 'underWay' && earlier !== 'unmade';

async function newAnswer(
  deps: ApiDeps,
  input: CheckoutInput,
  preference: Preference,
  since: number,
): Promise<PlacedAnswer | 'started'> {
  const answer = await startAs(deps, input, preference, since);
  if (typeof answer !== 'string') return answer;
  await refuseReusedKey(deps.temporal, input);
  return answer === 'started' ? answer : endedAnswer(deps, input);
}

/** It ended between our look at the record and the start, or it left no answer on record. */
async function endedAnswer(deps: ApiDeps, input: CheckoutInput): Promise<PlacedAnswer | 'started'> {
  const { requestHash, orderId } = input;
  try {
    const recorded = await recordedAnswer(deps, input);
    if (isKnown(recorded)) return recorded;
    // Its stock is still set aside, so it was ended from outside, and it may even be paid: the reconciler decides that.
    if (recorded === 'underWay') return 'started';
    return { requestHash, refusal: await endOfClosed(deps.temporal, orderId) };
  } catch (error) {
    // How it ended will be told later; "try again" would be a lie now.
    if (isOutage(error) || isTemporalError(error)) return 'started';
    throw error;
  }
}

function startAs({ temporal }: ApiDeps, input: CheckoutInput, preference: Preference, since: number): Promise<Placing> {
  if (preference === 'respond-async') return startOnly(temporal, input);
  const patienceMs = preference === 'placed' ? PLACED_DEADLINE_MS : preference.waitSeconds * 1_000;
  return placeSoon(temporal, input, Math.min(patienceMs, PLACED_DEADLINE_MS) - (Date.now() - since));
}
