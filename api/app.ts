import cors from 'cors';
import express, { type Express } from 'express';
import helmet from 'helmet';

import { attentionRoutes } from './attention.ts';
import { auditRoutes } from './audit.ts';
import { identify, refuseBadTokens } from './auth.ts';
import { catalogueRoutes } from './catalogue.ts';
import { checkoutRoutes } from './checkouts.ts';
import { codecAccess, codecRoutes } from './codec.ts';
import { receiveWebhook } from './contract/webhooks.ts';
import { deadLetterRoutes } from './dead-letters.ts';
import type { ApiDeps } from './deps.ts';
import { docsRoutes } from './docs.ts';
import { healthRoutes } from './health.ts';
import { inventoryRoutes } from './inventory.ts';
import { refusedWebhookLimit, requestLimit } from './limits.ts';
import { orderEventRoutes } from './order-events.ts';
import { orderListRoutes } from './order-list.ts';
import { orderRoutes } from './orders.ts';
import { webhookRoutes } from './payment-webhooks.ts';
import { notFound, problems } from './problem.ts';
import { productAdminRoutes } from './product-admin.ts';
import { refundRoutes } from './refunds.ts';
import { requestLog } from './request-log.ts';
import { resolveRoutes } from './resolve.ts';
import { expressPath, mount } from './routes.ts';
import { salesRoutes } from './sales.ts';
import { storyRoutes } from './story.ts';
import { userProfileRoutes } from './user-profile.ts';
import { userRoutes } from './users.ts';
import { viewRoutes } from './views-admin.ts';

const EXPOSED_HEADERS = [
  'ETag',
  'Idempotent-Replayed',
  'Location',
  'Preference-Applied',
  'RateLimit',
  'RateLimit-Policy',
  'Read-After',
  'Read-After-Applied',
  'Retry-After',
  'X-Request-Id',
];
const PREFLIGHT_AGE_S = 600;

/** The HTTP API without a socket: tests call it as it is, `server.ts` listens. It opens and closes nothing. */
export function createApp(deps: ApiDeps): Express {
  const { config, counters, log, verify } = deps;
  const app = express();
  app.disable('x-powered-by');
  app.set('trust proxy', config.trustProxy);
  app.set('etag', false); // an order's ETag is its version, not a hash of the text

  app.use(requestLog(log), helmet(), codecAccess(deps));
  if (config.corsOrigins.length > 0) {
    app.use(cors({ origin: [...config.corsOrigins], exposedHeaders: EXPOSED_HEADERS, maxAge: PREFLIGHT_AGE_S }));
  }
  app.use(mount([...healthRoutes(deps), ...webhookRoutes(deps)]));
  app.use(expressPath(receiveWebhook.path), refusedWebhookLimit(counters));
  app.use(identify(verify), requestLimit(counters, config.rateLimitPerMinute), refuseBadTokens);
  app.use(
    mount([
      ...docsRoutes(),
      ...checkoutRoutes(deps),
      ...orderListRoutes(deps),
      ...orderRoutes(deps),
      ...orderEventRoutes(deps),
      ...storyRoutes(deps),
      ...refundRoutes(deps),
      ...catalogueRoutes(deps),
      ...productAdminRoutes(deps),
      ...inventoryRoutes(deps),
      ...userProfileRoutes(deps),
      ...userRoutes(deps),
      ...salesRoutes(deps),
      ...auditRoutes(deps),
      ...attentionRoutes(deps),
      ...resolveRoutes(deps),
      ...deadLetterRoutes(deps),
      ...viewRoutes(deps),
      ...codecRoutes(deps),
    ]),
  );
  app.use(notFound, problems(log));
  return app;
}
