import type { AuditDeps } from '../infra/audit/audit.ts';
import type { Cache } from '../infra/cache/cache.ts';
import type { Config } from '../infra/config.ts';
import type { Databases } from '../infra/databases.ts';
import type { Logger } from '../infra/log.ts';
import type { ReadWebhook } from '../infra/payment-gateway/webhook.ts';
import type { RequestCounters } from '../infra/request-counters.ts';
import type { TemporalClient } from '../infra/temporal.ts';
import type { VerifyToken } from '../infra/tokens.ts';
import type { OrderFeed } from './order-feed.ts';
import type { LinkOptions } from './present.ts';

/** What the routes need. Nothing is opened or closed by the app itself. */
export type ApiDeps = Readonly<{
  config: Pick<
    Config,
    | 'mode'
    | 'corsOrigins'
    | 'codecOrigins'
    | 'trustProxy'
    | 'rateLimitPerMinute'
    | 'startDeadlineMs'
    | 'shopTimeZone'
    | 'eventStreams'
    | 'declinedCardsPerHour'
  >;
  databases: Pick<Databases, 'platform' | 'order' | 'payment' | 'views' | 'bus'>;
  /** What an audit reads besides Temporal; `ledger` where this process may read the payment provider's books. */
  audit: Pick<AuditDeps, 'urls' | 'ledger'>;
  /** Of what the public catalogue shows. */
  cache: Cache;
  /** What the limits of requests are counted with. */
  counters: RequestCounters;
  temporal: TemporalClient;
  verify: VerifyToken;
  /** How to read the webhooks of each provider that may send some, by the name in the path. */
  webhooks: ReadonlyMap<string, ReadWebhook>;
  links: LinkOptions;
  /** Of what becomes of orders. It looks for itself; whoever has notifications wakes it. */
  orderFeed: OrderFeed;
  log: Logger;
  /** Aborted when the process is asked to stop: what has no end of its own, such as a stream of events, ends then. */
  stopping: AbortSignal;
}>;
