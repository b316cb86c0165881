import { createHash } from 'node:crypto';

import Stripe from 'stripe';
import { z } from 'zod';

import { type Headers, type ProviderEvent, type ReadWebhook, WebhookRejected } from './webhook.ts';

/** How far a webhook's time stamp may be from our clock, seconds, in the past or in the future. */
const TOLERANCE_S = 300;

/** Changes of a charge of ours, and of its refunds. */
const FOLLOWED = /^(payment_intent\.|charge\.refund|refund\.)[a-z_.]+$/;

const code = z.string().regex(/^\w{1,100}$/);
const envelope = z.object({
  object: z.literal('event'),
  id: z.string().regex(/^evt_\w{1,200}$/),
  type: z.string().regex(/^[a-z0-9_.]{1,100}$/),
  created: z.int().nonnegative(),
  livemode: z.boolean(),
  data: z.object({ object: z.looseObject({ object: z.string() }) }),
});
const intentId = z.string().regex(/^pi_\w{1,200}$/);
const intentFields = z.object({
  id: intentId,
  status: code,
  metadata: z.object({ order_id: z.string().optional() }),
});
const moneyFields = z.object({ id: code, payment_intent: intentId.nullable(), status: code.nullish() });

/**
 * Reads Stripe's webhooks: the signature over the raw bytes with each live secret, at most five minutes old or early.
 *
 * @returns a reader as `ReadWebhook` says; without a secret it rejects everything
 */
export const stripeWebhook =
  (secrets: readonly string[]): ReadWebhook =>
  (rawBody: Buffer, headers: Headers): ProviderEvent | null => {
    const event = read(envelope, verified(rawBody, headers['stripe-signature'], secrets));
    if (!FOLLOWED.test(event.type)) return null;
    const about = subjectOf(event.data.object);
    if (about === null) return null;
    return {
      provider: 'stripe',
      eventId: event.id,
      type: event.type,
      ...about,
      fields: { ...about.fields, createdAt: event.created, live: event.livemode ? 1 : 0 },
      bodyHash: createHash('sha256').update(rawBody).digest('hex'),
    };
  };

type Subject = Pick<ProviderEvent, 'providerPaymentId' | 'fields'>;

/** The intent that the event is about; null for one that is not ours to follow. */
function subjectOf(object: Readonly<{ object: string }>): Subject | null {
  if (object.object === 'payment_intent') {
    const { id, status, metadata } = read(intentFields, object);
    const orderId = z.uuid().safeParse(metadata.order_id);
    return orderId.success ? { providerPaymentId: id, fields: { orderId: orderId.data, status } } : null;
  }
  if (object.object !== 'charge' && object.object !== 'refund') return null;
  const { id, payment_intent: intent, status } = read(moneyFields, object);
  return intent === null
    ? null
    : { providerPaymentId: intent, fields: { [object.object]: id, status: status ?? null } };
}

function verified(rawBody: Buffer, signature: Headers[string], secrets: readonly string[]): unknown {
  if (typeof signature !== 'string') throw new WebhookRejected('there is no signature');
  const payload = strictText(rawBody);
  // The library looks only at the past: a stamp from the future could be kept for later.
  const stamps = signature.split(',').filter((part) => part.startsWith('t='));
  const isEarly = (stamp: string) => !(Number(stamp.slice(2)) - Date.now() / 1_000 <= TOLERANCE_S);
  if (stamps.some(isEarly)) throw new WebhookRejected('its time stamp is not of now');
  for (const secret of secrets) {
    try {
      return Stripe.webhooks.constructEvent(payload, signature, secret, TOLERANCE_S);
    } catch (error) {
      // Anything else is a genuine signature over something that is no event.
      if (!(error instanceof Stripe.errors.StripeSignatureVerificationError))
        throw new WebhookRejected('it is no event');
    }
  }
  throw new WebhookRejected('its signature or its time stamp is wrong');
}

/** Byte for byte: a decoder that repairs or drops bytes would let an altered body pass. */
function strictText(rawBody: Buffer): string {
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(rawBody);
  } catch {
    throw new WebhookRejected('it is not UTF-8');
  }
}

function read<T>(schema: z.ZodType<T>, value: unknown): T {
  const parsed = schema.safeParse(value);
  if (parsed.success) return parsed.data;
  throw new WebhookRejected('it is no event that we can read');
}
