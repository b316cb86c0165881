import { type ActivityOptions, proxyActivities } from '@temporalio/workflow';

import type { InventoryActivities } from '../activities/inventory/activities.ts';
import type { InventoryReturnActivities } from '../activities/inventory/contract.ts';
import type { OrderActivities } from '../activities/orders/activities.ts';
import type { OrderMoneyActivities } from '../activities/orders/contract.ts';
import type { PaymentActivities } from '../activities/payments/activities.ts';
import type { PaymentFinders, RefundActivities, WebhookActivities } from '../activities/payments/contract.ts';
import type { PruneWebhookActivities } from '../activities/payments/prune-webhooks.ts';
import type { SagaActivities } from '../activities/sagas/activities.ts';
import type { PruneActivities } from '../activities/views/prune.ts';
import type { RebuildActivities } from '../activities/views/rebuild.ts';
import type { StatisticsActivities } from '../activities/views/statistics.ts';
import { QUEUES } from './contract.ts';

/**
 * Before the pivot a step is tried for two minutes: long enough for a restart of its worker or database, short enough
 * that the shopper's stock is not held by a checkout that cannot go on. Refusals are never retried, by their type.
 */
const ATTEMPTS = {
  scheduleToCloseTimeout: '2 minutes',
  // A cancelled saga waits for what its step has done: an undo beside a charge in flight would meet it half-way. Said
  // here because the default that the SDK documents (1.24.0) does not reach the server, which then does not wait.
  cancellationType: 'WAIT_CANCELLATION_COMPLETED',
  // Database steps take milliseconds, so the first repeats come quickly; then a struggling database gets air.
  retry: { initialInterval: '200 milliseconds', backoffCoefficient: 2, maximumInterval: '5 seconds' },
} as const satisfies ActivityOptions;

/** One round of an undo, or of a step past the pivot: what is not done within ten minutes is shown to a person. */
const ROUND = {
  scheduleToCloseTimeout: '10 minutes',
  retry: { initialInterval: '500 milliseconds', backoffCoefficient: 2, maximumInterval: '30 seconds' },
} as const satisfies ActivityOptions;

/** Above the statement and lock limits of the databases, so that the database speaks first. */
const DATABASE_STEP = { startToCloseTimeout: '10 seconds' } as const;

/** Up to three gateway calls of 10 s each with their transactions. */
const GATEWAY_STEP = { startToCloseTimeout: '35 seconds' } as const;

/** A gateway in trouble is not helped by quick repeats, and each one is a chance of a rate limit. */
const GATEWAY_RETRY = { initialInterval: '1 second', backoffCoefficient: 2, maximumInterval: '20 seconds' } as const;

type Inventory = InventoryActivities & InventoryReturnActivities;
type Orders = OrderActivities & OrderMoneyActivities;
type Payments = PaymentActivities & WebhookActivities & RefundActivities & PaymentFinders;

export const inventory = proxyActivities<Inventory>({ taskQueue: QUEUES.inventory, ...DATABASE_STEP, ...ATTEMPTS });
export const orders = proxyActivities<Orders>({ taskQueue: QUEUES.orders, ...DATABASE_STEP, ...ATTEMPTS });
export const payments = proxyActivities<Payments>({
  taskQueue: QUEUES.payments,
  ...GATEWAY_STEP,
  ...ATTEMPTS,
  retry: GATEWAY_RETRY,
});

type Checking = Pick<PaymentActivities, 'checkPayment'>;
const LOOK = {
  taskQueue: QUEUES.payments,
  startToCloseTimeout: '15 seconds',
  // A cancel does not wait for it: it starts no charge, and what it learns is decided under the payment's own lock.
  cancellationType: 'TRY_CANCEL',
  retry: { initialInterval: '500 milliseconds', backoffCoefficient: 2, maximumInterval: '5 seconds' },
} as const satisfies ActivityOptions;

/** A look at a payment that is waited for. It is never worth a long wait: the next look comes, and the last one too. */
export const checking = proxyActivities<Checking>({ ...LOOK, scheduleToCloseTimeout: '20 seconds' });

/** The last look, after which the order is given up: who paid in time must not pay for a service that starts late. */
export const checkingLast = proxyActivities<Checking>({
  ...LOOK,
  scheduleToCloseTimeout: ATTEMPTS.scheduleToCloseTimeout,
});

/** The same services for steps that must end: call them through `inRounds`. */
export const surely = {
  inventory: proxyActivities<Inventory>({ taskQueue: QUEUES.inventory, ...DATABASE_STEP, ...ROUND }),
  orders: proxyActivities<Orders>({ taskQueue: QUEUES.orders, ...DATABASE_STEP, ...ROUND }),
  payments: proxyActivities<Payments>({
    taskQueue: QUEUES.payments,
    ...GATEWAY_STEP,
    ...ROUND,
    retry: GATEWAY_RETRY,
  }),
} as const;

/** Pages of leftovers: reads that may take a while, and that the next run repeats. */
const SEARCH = {
  startToCloseTimeout: '1 minute',
  scheduleToCloseTimeout: '2 minutes',
  retry: { initialInterval: '1 second', backoffCoefficient: 2, maximumInterval: '10 seconds' },
} as const satisfies ActivityOptions;

/** The same services for the search for leftovers. */
export const searching = {
  inventory: proxyActivities<InventoryReturnActivities>({ taskQueue: QUEUES.inventory, ...SEARCH }),
  orders: proxyActivities<OrderMoneyActivities>({ taskQueue: QUEUES.orders, ...SEARCH }),
  payments: proxyActivities<PaymentFinders>({ taskQueue: QUEUES.payments, ...SEARCH }),
  sagas: proxyActivities<SagaActivities>({ taskQueue: QUEUES.checkout, ...SEARCH }),
} as const;

/** A provider's books of days take minutes to read. A service that is away is waited for no longer than the others. */
export const readingBooks = proxyActivities<Pick<PaymentFinders, 'findLedgerDifferences'>>({
  taskQueue: QUEUES.payments,
  scheduleToStartTimeout: SEARCH.scheduleToCloseTimeout,
  startToCloseTimeout: '10 minutes',
  scheduleToCloseTimeout: '12 minutes',
  heartbeatTimeout: '90 seconds', // one call of the books, with its repeats
  retry: { ...SEARCH.retry, maximumAttempts: 6 },
});

/** As long as a large past takes. A worker that died is noticed by its beat, and the next attempt goes on. */
export const rebuilding = proxyActivities<RebuildActivities>({
  taskQueue: QUEUES.views,
  scheduleToCloseTimeout: '1 day',
  startToCloseTimeout: '12 hours',
  heartbeatTimeout: '30 seconds',
  retry: { initialInterval: '2 seconds', backoffCoefficient: 2, maximumInterval: '1 minute' },
});

/** Nobody waits for it: a database that is away for hours of the night is waited out. */
export const recomputing = proxyActivities<StatisticsActivities>({
  taskQueue: QUEUES.views,
  scheduleToCloseTimeout: '6 hours',
  startToCloseTimeout: '1 hour',
  heartbeatTimeout: '1 minute', // beyond the limits of a statement and of a transaction, for each day one
  retry: { initialInterval: '2 seconds', backoffCoefficient: 2, maximumInterval: '5 minutes' },
});

/** Many small batches, each by itself. A service that is away is waited for no longer than the others. */
const UPKEEP = {
  scheduleToStartTimeout: '2 minutes',
  startToCloseTimeout: '2 hours',
  scheduleToCloseTimeout: '3 hours',
  heartbeatTimeout: '1 minute',
  retry: { initialInterval: '2 seconds', backoffCoefficient: 2, maximumInterval: '1 minute', maximumAttempts: 8 },
} as const satisfies ActivityOptions;

/** Services with tables that grow for ever unless something is taken away. */
export const maintaining = {
  views: proxyActivities<PruneActivities>({ taskQueue: QUEUES.views, ...UPKEEP }),
  payments: proxyActivities<PruneWebhookActivities>({ taskQueue: QUEUES.payments, ...UPKEEP }),
} as const;
