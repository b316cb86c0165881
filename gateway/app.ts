import express, { type ErrorRequestHandler, type Express, type Response } from 'express';

import type { Databases } from '../infra/databases.ts';
import type { Logger } from '../infra/log.ts';
import { errorAnswer, type GatewayCode, GatewayError } from './answers.ts';
import { type CallContext, sendAnswer, serveCall } from './calls.ts';
import { confirm } from './confirm.ts';
import { controlRoutes } from './control.ts';
import { Holds } from './faults.ts';
import { once } from './keys.ts';
import { readLedger } from './ledger.ts';
import * as operations from './operations.ts';
import * as requests from './requests.ts';
import { behaviourOf } from './tokens.ts';

/** Durations in milliseconds. */
export type GatewaySettings = Readonly<{
  /** How long a key and its answer are kept. */
  keyTtlMs: number;
  /** Processing time of `tok_slow`. */
  slowMs: number;
  /** How long a connection that never gets its answer stays open. */
  hangMs: number;
  /** How many attempts `tok_error_500` fails. */
  failures: number;
}>;

const DEFAULT_SETTINGS: GatewaySettings = { keyTtlMs: 86_400_000, slowMs: 3_000, hangMs: 30_000, failures: 2 };

export type GatewayDeps = Readonly<{
  databases: Pick<Databases, 'gateway'>;
  log: Pick<Logger, 'error'>;
  /** Whether `/faults` and `/keys` exist: never in production. */
  faultsEnabled: boolean;
  settings?: Partial<GatewaySettings>;
}>;

const LARGEST_BODY = '16kb';

/** The gateway as an Express application; it does not listen by itself. */
export function createGateway({ databases: { gateway: db }, log, faultsEnabled, settings }: GatewayDeps): Express {
  const set = { ...DEFAULT_SETTINGS, ...settings };
  const context: CallContext = { db, holds: new Holds(), faultsEnabled, hangMs: set.hangMs };
  const orderIdOf = async (providerId: string): Promise<string> => {
    const charge = await db.charge.findUnique({ where: { id: providerId }, select: { orderId: true } });
    if (charge === null) throw new GatewayError('unknown_charge', 'there is no such charge');
    return charge.orderId;
  };

  const app = express();
  app.disable('x-powered-by');
  app.disable('etag');
  app.use(express.json({ limit: LARGEST_BODY, inflate: false }));

  app.post('/charges', async (req, res) => {
    const key = requests.idempotencyKeyOf(req);
    const { orderId, amount } = requests.parse(requests.prepareBody, req.body);
    const request = {
      route: 'prepare',
      key,
      requestHash: requests.hashOf(orderId, amount.minor, amount.currency),
    } as const;
    await serveCall(context, res, { route: 'prepare', orderId }, () =>
      once(db, request, set.keyTtlMs, (claim) => operations.prepare(db, claim, orderId, amount)),
    );
  });

  app.post('/charges/:id/confirm', async (req, res) => {
    const providerId = requests.providerIdOf(req);
    const key = requests.idempotencyKeyOf(req);
    const { token } = requests.parse(requests.confirmBody, req.body);
    const behaviour = behaviourOf(token);
    if (behaviour === undefined) throw new GatewayError('invalid_payment_method', 'no such payment method');
    const request = { route: 'confirm', key, requestHash: requests.hashOf(providerId, token) } as const;
    const { slowMs, failures } = set;
    await serveCall(context, res, { route: 'confirm', orderId: await orderIdOf(providerId) }, (fault, gone) =>
      once(db, request, set.keyTtlMs, (claim) =>
        confirm(db, { claim, providerId, behaviour, fault, slowMs, failures, gone }),
      ),
    );
  });

  app.get('/charges/:id', async (req, res) => {
    const providerId = requests.providerIdOf(req);
    await serveCall(context, res, { route: 'lookup', orderId: await orderIdOf(providerId) }, () =>
      operations.lookup(db, providerId),
    );
  });

  app.post('/charges/:id/cancel', async (req, res) => {
    const providerId = requests.providerIdOf(req);
    requests.parse(requests.cancelBody, req.body);
    await serveCall(context, res, { route: 'cancel', orderId: await orderIdOf(providerId) }, () =>
      operations.cancel(db, providerId),
    );
  });

  app.post('/charges/:id/refunds', async (req, res) => {
    const providerId = requests.providerIdOf(req);
    const key = requests.idempotencyKeyOf(req);
    const { amount } = requests.parse(requests.refundBody, req.body);
    const request = {
      route: 'refund',
      key,
      requestHash: requests.hashOf(providerId, amount.minor, amount.currency),
    } as const;
    await serveCall(context, res, { route: 'refund', orderId: await orderIdOf(providerId) }, () =>
      once(db, request, set.keyTtlMs, (claim) => operations.refund(db, claim, providerId, amount)),
    );
  });

  app.get('/ledger', async (req, res) => {
    res.json(await readLedger(db, requests.parse(requests.ledgerQuery, req.query)));
  });
  app.get('/healthz', async (_req, res) => {
    await db.$queryRaw`select 1`;
    res.json({ status: 'ok' });
  });
  if (faultsEnabled) app.use(controlRoutes(db, context.holds));

  app.use(() => {
    throw new GatewayError('not_found', 'there is no such route');
  });
  app.use(answerErrors(log));
  return app;
}

const CODE_OF_PARSER = new Map<number, GatewayCode>([
  [413, 'payload_too_large'],
  [415, 'unsupported_media_type'],
]);

/** Nothing unknown leaves the process: a surprise is logged here and answered with a constant line. */
function answerErrors(log: Pick<Logger, 'error'>): ErrorRequestHandler {
  return (error: unknown, req, res: Response, next) => {
    if (res.headersSent) return next(error);
    if (error instanceof GatewayError) return sendAnswer(res, errorAnswer(error.code, error.message));
    const status = error instanceof Error && 'status' in error ? Number(error.status) : 500;
    if (status >= 400 && status < 500) {
      return sendAnswer(res, errorAnswer(CODE_OF_PARSER.get(status) ?? 'invalid_request', 'the body cannot be read'));
    }
    log.error({ err: error, method: req.method }, 'a call failed');
    sendAnswer(res, errorAnswer('server_error', 'the gateway failed'));
  };
}
