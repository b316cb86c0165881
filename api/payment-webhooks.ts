import type { Request } from 'express';

import { storeWebhook } from '../activities/payments/webhook-store.ts';
import { CheckoutError } from '../domain/errors.ts';
import { type ProviderEvent, type ReadWebhook, WebhookRejected } from '../infra/payment-gateway/webhook.ts';
import { bytesOf, rawBody } from './body.ts';
import { receiveWebhook } from './contract/webhooks.ts';
import type { ApiDeps } from './deps.ts';
import { within } from './outage.ts';
import { type Route, route } from './routes.ts';

/** Below the patience of providers, who wait ten seconds or more: an answer that comes too late is none. */
const STORE_LIMIT_MS = 5_000;

/**
 * The provider's events: verified over the raw bytes, stored, and only then answered 204, so that nothing is lost when we
 * die afterwards; whoever gets another answer sends the event again. What an event leads to is no business of this
 * process. No bearer token: the signature says who sends.
 */
export const webhookRoutes = ({ databases: { payment }, webhooks }: ApiDeps): readonly Route[] => [
  route(receiveWebhook, requireProvider(webhooks), ...rawBody, async (req, res) => {
    const event = read(webhooks, req);
    if (event !== null) await within(STORE_LIMIT_MS, storeWebhook(payment, event));
    res.status(204).end();
  }),
];

/** Before the body is read: who names no provider uploads nothing. */
const requireProvider =
  (webhooks: ApiDeps['webhooks']) =>
  (req: Request, _res: unknown, next: () => void): void => {
    readerOf(webhooks, req);
    next();
  };

function read(webhooks: ApiDeps['webhooks'], req: Request): ProviderEvent | null {
  try {
    return readerOf(webhooks, req)(bytesOf(req), req.headers);
  } catch (error) {
    if (!(error instanceof WebhookRejected)) throw error;
    // Anybody can send one, so it is nothing to be warned of.
    req.log.info({ reason: error.message, provider: req.params['provider'] }, 'webhook refused');
    // One message for every reason: what was wrong helps only who forged it.
    throw new CheckoutError('WEBHOOK_REJECTED', 'this is no genuine webhook');
  }
}

function readerOf(webhooks: ApiDeps['webhooks'], { params }: Request): ReadWebhook {
  const reader = webhooks.get(String(params['provider']));
  if (reader === undefined) throw new CheckoutError('NOT_FOUND', 'there is no such payment provider here');
  return reader;
}
