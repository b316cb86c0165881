import { randomUUID } from 'node:crypto';
import type { IncomingMessage, ServerResponse } from 'node:http';

import type { RequestHandler } from 'express';
import { pinoHttp } from 'pino-http';

import type { Logger } from '../infra/log.ts';

const PROBES = ['/healthz', '/readyz'];

/**
 * One line per request, under an id that the caller may choose and that every answer repeats. Headers and bodies are
 * not logged at all: an allow-list cannot leak the token that a block-list forgot.
 */
export const requestLog = (logger: Logger): RequestHandler =>
  pinoHttp({
    logger,
    genReqId: requestId,
    autoLogging: { ignore: (req) => PROBES.includes(req.url ?? '') },
    customLogLevel: (_req, res, error) => (error !== undefined || res.statusCode >= 500 ? 'error' : 'info'),
    wrapSerializers: false,
    serializers: {
      req: ({ id, method, url }: IncomingMessage) => ({ id, method, path: url?.split('?', 1)[0] }),
      res: ({ statusCode }: ServerResponse) => ({ statusCode }),
    },
  });

function requestId(req: IncomingMessage, res: ServerResponse): string {
  const asked = req.headers['x-request-id'];
  const id = typeof asked === 'string' && /^[\w-]{1,64}$/.test(asked) ? asked : randomUUID();
  res.setHeader('X-Request-Id', id);
  return id;
}
