import { isUtf8 } from 'node:buffer';
import { createHash } from 'node:crypto';

import { Webhook, WebhookVerificationError } from 'standardwebhooks';
import { z } from 'zod';

import { type Headers, type ProviderEvent, type ReadWebhook, WebhookRejected } from './webhook.ts';

const FORM_OF_SECRET = /^whsec_[A-Za-z0-9+/]{32,}={0,2}$/;
const TYPES = ['charge.captured', 'charge.declined', 'charge.cancelled', 'charge.refunded'] as const;

const envelope = z.object({ id: z.string().regex(/^[\w-]{1,64}$/), type: z.string().regex(/^[\w.]{1,100}$/) });
const money = z.object({ minor: z.int().positive(), currency: z.string().regex(/^[A-Z]{3}$/) });
const chargeEvent = envelope.extend({
  type: z.enum(TYPES),
  createdAt: z.iso.datetime(),
  data: z.object({
    providerId: z.string().regex(/^[\w-]{1,255}$/),
    orderId: z.string().regex(/^[\w.:-]{1,100}$/),
    status: z.enum(['open', 'processing', 'requires_confirmation', 'captured', 'declined', 'cancelled']),
    captured: money.nullable(),
    refundedMinor: z.int().nonnegative(),
    declineCode: z
      .string()
      .regex(/^\w{1,50}$/)
      .nullable(),
  }),
});

/**
 * Reads the simulated gateway's webhooks, which follow the Standard Webhooks specification.
 *
 * @param secrets live ones, each `whsec_` and base64 of 24 bytes or more; without any every webhook is rejected
 * @throws Error for a secret of another form, without showing it
 */
export function simulatedWebhook(secrets: readonly string[]): ReadWebhook {
  const wrong = secrets.findIndex((secret) => !FORM_OF_SECRET.test(secret));
  if (wrong >= 0) throw new Error(`webhook secret ${wrong + 1} is not whsec_ and base64 of at least 24 bytes`);
  const verifiers = secrets.map((secret) => new Webhook(secret));

  return (rawBody: Buffer, headers: Headers): ProviderEvent | null => {
    const signed = signedHeaders(headers);
    // The signature is made over text: two bodies that are no text could read the same.
    if (!isUtf8(rawBody)) throw new WebhookRejected('the body is not text');
    if (!verifiers.some((verifier) => isGenuine(verifier, rawBody, signed))) {
      throw new WebhookRejected('no live secret made this signature at this time');
    }
    return readEvent(rawBody, signed['webhook-id']);
  };
}

type SignedHeaders = Readonly<Record<'webhook-id' | 'webhook-timestamp' | 'webhook-signature', string>>;

function signedHeaders(headers: Headers): SignedHeaders {
  const one = (name: keyof SignedHeaders, form: RegExp): string => {
    const value = headers[name];
    if (typeof value === 'string' && form.test(value)) return value;
    throw new WebhookRejected(`the header ${name} is missing or malformed`);
  };
  return {
    'webhook-id': one('webhook-id', /^[\w-]{1,64}$/),
    'webhook-timestamp': one('webhook-timestamp', /^\d{1,12}$/),
    'webhook-signature': one('webhook-signature', /^[\x20-\x7e]{1,1000}$/),
  };
}

/** Compares in constant time, and allows five minutes either way. */
function isGenuine(verifier: Webhook, rawBody: Buffer, signed: SignedHeaders): boolean {
  try {
    verifier.verify(rawBody, signed, { jsonParse: false });
    return true;
  } catch (error) {
    if (error instanceof WebhookVerificationError) return false;
    throw error;
  }
}

function readEvent(rawBody: Buffer, webhookId: string): ProviderEvent | null {
  const body = parseJson(rawBody.toString('utf8'));
  const named = envelope.safeParse(body);
  if (!named.success || named.data.id !== webhookId) throw new WebhookRejected('the body is no event of this id');
  if (!TYPES.some((type) => type === named.data.type)) return null;

  const parsed = chargeEvent.safeParse(body);
  if (!parsed.success) {
    const fields = parsed.error.issues.map(({ path }) => path.join('.'));
    throw new WebhookRejected(`the body is no event of a charge (${fields.join(', ')})`);
  }
  const { id, type, createdAt, data } = parsed.data;
  return {
    provider: 'simulated',
    eventId: id,
    type,
    providerPaymentId: data.providerId,
    fields: {
      createdAt,
      orderId: data.orderId,
      status: data.status,
      capturedMinor: data.captured?.minor ?? null,
      capturedCurrency: data.captured?.currency ?? null,
      refundedMinor: data.refundedMinor,
      declineCode: data.declineCode,
    },
    bodyHash: createHash('sha256').update(rawBody).digest('hex'),
  };
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    throw new WebhookRejected('the body is not JSON');
  }
}
