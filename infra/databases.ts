import { PrismaPg } from '@prisma/adapter-pg';

import { PrismaClient as BusClient } from '../prisma/bus/generated/client.ts';
import { PrismaClient as GatewayClient } from '../prisma/gateway/generated/client.ts';
import { PrismaClient as OrderClient } from '../prisma/order/generated/client.ts';
import { PrismaClient as PaymentClient } from '../prisma/payment/generated/client.ts';
import { PrismaClient as PlatformClient } from '../prisma/platform/generated/client.ts';
import { PrismaClient as ViewsClient } from '../prisma/views/generated/client.ts';
import { ImpatientClient } from './impatient-client.ts';

/** One client per service database. A service's factory takes `Pick<Databases, 'platform'>`, so it stays inside. */
export type Databases = {
  platform: PlatformClient;
  order: OrderClient;
  payment: PaymentClient;
  views: ViewsClient;
  bus: BusClient;
  gateway: GatewayClient;
};

/** The part of a Prisma transaction that our SQL functions need: they work on every service's client. */
export type SqlTransaction = Pick<PlatformClient, '$queryRaw' | '$executeRaw'>;

export type PoolOptions = Readonly<{
  /** Most connections this process opens to the database. */
  poolSize: number;
  /**
   * How long an answer is waited for, milliseconds; 0 for ever, for work that lets its statements take minutes and has a
   * limit of its own.
   */
  answerLimitMs?: number;
}>;

const STATEMENT_TIMEOUT_MS = 5_000;
const LOCK_TIMEOUT_MS = 4_000;
/**
 * The server ends a statement before this. It speaks where nobody else does: a server or a network that stands still
 * answers nothing and closes nothing, and every such query would hold a connection of the pool until TCP gives up.
 */
const ANSWER_LIMIT_MS = 7_000;
const IDLE_IN_TRANSACTION_TIMEOUT_MS = 8_000;
const CONNECTION_TIMEOUT_MS = 5_000;
const IDLE_TIMEOUT_MS = 30_000;

/**
 * Time limits of an interactive transaction, in milliseconds. They are generous on purpose: the statement and lock
 * limits above must always fire first, because Prisma's own time-out during COMMIT may return a broken connection
 * to the pool (prisma#29952).
 */
export const TRANSACTION = { maxWait: 5_000, timeout: 30_000 } as const;

/** Opens nothing yet: connections are made by the first query. Close with `$disconnect`. */
export const openPlatform = (url: string, options: PoolOptions) => new PlatformClient(clientOptions(url, options));
export const openOrder = (url: string, options: PoolOptions) => new OrderClient(clientOptions(url, options));
export const openPayment = (url: string, options: PoolOptions) => new PaymentClient(clientOptions(url, options));
export const openViews = (url: string, options: PoolOptions) => new ViewsClient(clientOptions(url, options));
export const openBus = (url: string, options: PoolOptions) => new BusClient(clientOptions(url, options));
export const openGateway = (url: string, options: PoolOptions) => new GatewayClient(clientOptions(url, options));

function clientOptions(url: string, { poolSize, answerLimitMs = ANSWER_LIMIT_MS }: PoolOptions) {
  const adapter = new PrismaPg({
    connectionString: url,
    max: poolSize,
    connectionTimeoutMillis: CONNECTION_TIMEOUT_MS,
    idleTimeoutMillis: IDLE_TIMEOUT_MS,
    keepAlive: true,
    Client: ImpatientClient,
    query_timeout: answerLimitMs,
    statement_timeout: STATEMENT_TIMEOUT_MS,
    lock_timeout: LOCK_TIMEOUT_MS,
    idle_in_transaction_session_timeout: IDLE_IN_TRANSACTION_TIMEOUT_MS,
  });
  return { adapter, transactionOptions: TRANSACTION };
}
