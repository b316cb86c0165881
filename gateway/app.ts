import express, { type ErrorRequestHandler, type Express, type Response } from 'express';

import type { Databases } from '../infra/databases.ts';
import type { Logger } from '../infra/log.ts';
import { errorAnswer, type GatewayCode, GatewayError } from './answers.ts';
import { type CallContext, sendAnswer } from './calls.ts';
import { chargeRoutes, type GatewaySettings } from './charge-routes.ts';
import { controlRoutes } from './control.ts';
import { Holds } from './faults.ts';
import { readLedger } from './ledger.ts';
import { pageRoutes } from './page.ts';
import { ledgerQuery, parse } from './requests.ts';

export type { GatewaySettings };

const DEFAULT_SETTINGS = { keyTtlMs: 86_400_000, slowMs: 3_000, hangMs: 30_000, failures: 2 };

export type GatewayDeps = Readonly<{
  databases: Pick<Databases, 'gateway'>;
  log: Pick<Logger, 'error'>;
  /** Whether scripts, controls and the page of the shopper's bank exist: never in production. */
  faultsEnabled: boolean;
  settings?: Partial<GatewaySettings>;
  /** Told when there may be something to send. */
  changed?: () => void;
}>;

const LARGEST_BODY = '16kb';

/** The gateway as an Express application; it does not listen by itself. */
export function createGateway(deps: GatewayDeps): Express {
  const { log, faultsEnabled, changed = () => undefined } = deps;
  const { gateway: db } = deps.databases;
  const settings = withDefaults(deps.settings);
  const context: CallContext = { db, holds: new Holds(), faultsEnabled, hangMs: settings.hangMs, changed };

  const app = express();
  app.disable('x-powered-by');
  app.disable('etag');
  app.use(express.json({ limit: LARGEST_BODY, inflate: false }));
  app.use(chargeRoutes(context, settings));
  app.get('/ledger', async (req, res) => {
    res.json(await readLedger(db, parse(ledgerQuery, req.query)));
  });
  app.get('/healthz', async (_req, res) => {
    await db.$queryRaw`select 1`;
    res.json({ status: 'ok' });
  });
  if (faultsEnabled) app.use(controlRoutes(db, context.holds, changed), pageRoutes(db, changed));

  app.use(() => {
    throw new GatewayError('not_found', 'there is no such route');
  });
  app.use(answerErrors(log));
  return app;
}

/** What is undefined was not asked for. */
function withDefaults(given: Partial<GatewaySettings> = {}): GatewaySettings {
  const { publicUrl, ...numbers } = given;
  const asked = Object.entries(numbers).filter(([, value]) => value !== undefined);
  return { ...DEFAULT_SETTINGS, ...Object.fromEntries(asked), publicUrl };
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
