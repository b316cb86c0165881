import { randomUUID } from 'node:crypto';
import type { IncomingMessage, ServerResponse } from 'node:http';

import { type Context, context, ROOT_CONTEXT, SpanKind, SpanStatusCode } from '@opentelemetry/api';
import type { Request, RequestHandler } from 'express';
import { pinoHttp } from 'pino-http';

import type { Logger } from '../infra/log.ts';
import { contextOf, isRequestId, logFields, openSpan, requestIdOf, withRequestId } from '../infra/trace-context.ts';

const PROBES = ['/healthz', '/readyz'];
const TELLING = /^(?:[a-z-]{0,40}|v1|[0-9]{1,9}|[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})$/;

/**
 * One line per request, under an id that the caller may choose and that every answer repeats; and the request's span, in
 * the caller's trace where there is one. Both ids go on with the work. Headers and bodies are not logged at all: an
 * allow-list cannot leak the token that a block-list forgot.
 */
export function requestLog(logger: Logger): RequestHandler {
  const contexts = new WeakMap<IncomingMessage, Context>();
  const withIds = (req: IncomingMessage, _res: ServerResponse, line: object): object => ({
    ...logFields(contexts.get(req) ?? ROOT_CONTEXT),
    ...line,
  });
  const logged = pinoHttp({
    logger,
    genReqId: (req) => requestIdOf(contexts.get(req) ?? ROOT_CONTEXT) ?? randomUUID(),
    autoLogging: { ignore: (req) => PROBES.includes(req.url ?? '') },
    customLogLevel: (_req, res, error) => (error !== undefined || res.statusCode >= 500 ? 'error' : 'info'),
    customSuccessObject: withIds,
    customErrorObject: (req, res, _error, line: object) => withIds(req, res, line),
    wrapSerializers: false,
    serializers: {
      req: ({ id, method, url }: IncomingMessage) => ({ id, method, path: shownPath(url) }),
      res: ({ statusCode }: ServerResponse) => ({ statusCode }),
    },
  });
  return (req, res, next) => {
    const id = requestId(req, res);
    const asked = withRequestId(contextOf({ traceparent: req.headers.traceparent }), id);
    const within = PROBES.includes(req.path) ? asked : requestSpan(req, res, asked);
    contexts.set(req, within);
    context.with(within, () => logged(req, res, next));
  };
}

/** A segment that is neither a word nor an id could be anybody's address. */
const shownPath = (url = ''): string =>
  (url.split('?', 1)[0] ?? '')
    .split('/')
    .map((segment) => (TELLING.test(segment) ? segment : '*'))
    .join('/');

function requestId({ headers }: IncomingMessage, res: ServerResponse): string {
  const asked = headers['x-request-id'];
  const id = typeof asked === 'string' && isRequestId(asked) ? asked : randomUUID();
  res.setHeader('X-Request-Id', id);
  return id;
}

/** Named after the route, never after the path: that may hold anything. */
function requestSpan(req: Request, res: ServerResponse, parent: Context): Context {
  const attributes = { 'http.request.method': req.method };
  const { span, within } = openSpan(req.method, { kind: SpanKind.SERVER, attributes, parent });
  res.once('close', () => {
    const route = routeOf(req);
    span.setAttribute('http.response.status_code', res.statusCode);
    if (route !== undefined) span.updateName(`${req.method} ${route}`).setAttribute('http.route', route);
    if (res.statusCode >= 500 || !res.writableFinished) span.setStatus({ code: SpanStatusCode.ERROR });
    span.end();
  });
  return within;
}

function routeOf(req: Request): string | undefined {
  const { path } = (req.route ?? {}) as Readonly<{ path?: unknown }>;
  return typeof path === 'string' ? path : undefined;
}
