import { randomUUID } from 'node:crypto';

import { Webhook } from 'standardwebhooks';

/** A webhook as it is sent: the bytes and the headers that sign them. */
export type SignedWebhook = Readonly<{ eventId: string; body: string; headers: Readonly<Record<string, string>> }>;

export type WebhookOptions = Readonly<{
  secret: string;
  type?: string;
  eventId?: string;
  /** When it was signed; now. */
  at?: Date;
  data?: Readonly<Record<string, unknown>>;
}>;

/** A webhook of the simulated gateway about a charge that nobody has. */
export function signedWebhook(options: WebhookOptions): SignedWebhook {
  const { secret, type = 'charge.captured', eventId = `evt_${randomUUID()}`, at = new Date(), data = {} } = options;
  const charge = {
    providerId: `ch_${randomUUID()}`,
    orderId: randomUUID(),
    status: 'captured',
    captured: { minor: 7_000, currency: 'KRW' },
    refundedMinor: 0,
    declineCode: null,
  };
  const body = JSON.stringify({ id: eventId, type, createdAt: at.toISOString(), data: { ...charge, ...data } });
  return {
    eventId,
    body,
    headers: {
      'content-type': 'application/json',
      'webhook-id': eventId,
      'webhook-timestamp': String(Math.floor(at.getTime() / 1_000)),
      'webhook-signature': new Webhook(secret).sign(eventId, at, body),
    },
  };
}
