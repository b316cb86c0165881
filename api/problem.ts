import type { ErrorRequestHandler, RequestHandler, Response } from 'express';

import { CheckoutError, type ErrorCode, httpStatusOf, type Refusal } from '../domain/errors.ts';
import type { Logger } from '../infra/log.ts';
import { isOutage, Unavailable } from './outage.ts';

const RETRY_AFTER_S = 5;

/** What the framework refuses by itself (body parser, path decoding), by HTTP status. */
const CODE_OF_STATUS: Readonly<Record<number, ErrorCode>> = {
  404: 'NOT_FOUND',
  405: 'METHOD_NOT_ALLOWED',
  413: 'PAYLOAD_TOO_LARGE',
  415: 'UNSUPPORTED_MEDIA_TYPE',
  429: 'TOO_MANY_REQUESTS',
};

/** Turns every error into problem+json (RFC 9457). The only place that does, so nothing else can leak a stack. */
export function problems(log: Logger): ErrorRequestHandler {
  return (error: unknown, _req, res, next) => {
    if (res.headersSent) return next(error); // Express closes the connection: half an answer must not look whole
    const refusal = refusalOf(error);
    if (refusal.code === 'INTERNAL_ERROR' || error instanceof Unavailable || isOutage(error)) {
      (res.log ?? log).error({ err: error }, refusal.code);
    }
    if (error instanceof Unavailable || isOutage(error)) res.set('Retry-After', String(RETRY_AFTER_S));
    if (refusal.code === 'TOO_MANY_REQUESTS') tellWait(res, refusal);
    sendRefusal(res, refusal);
  };
}

/** The limits of requests tell it by themselves. */
function tellWait(res: Response, { detail }: Refusal): void {
  const { retryAfterS } = pick(detail, 'retryAfterS') as { retryAfterS?: number };
  if (retryAfterS !== undefined) res.set('Retry-After', String(retryAfterS));
}

/** Answers a refusal with its status. `orderId` names the checkout it belongs to. */
export function sendRefusal(res: Response, refusal: Refusal, orderId?: string): void {
  const problem = problemOf(refusal, orderId);
  if (problem.status === 401) {
    res.set('WWW-Authenticate', refusal.code === 'WEBHOOK_REJECTED' ? 'Signature' : 'Bearer');
  }
  res.status(problem.status).type('application/problem+json').send(JSON.stringify(problem));
}

/** A refusal as callers read it. */
export function problemOf(refusal: Refusal, orderId?: string) {
  const { code, message } = refusal;
  return {
    type: `/problems/${code.toLowerCase().replaceAll('_', '-')}`,
    title: titleOf(code),
    status: httpStatusOf(code),
    code,
    detail: message,
    ...(orderId === undefined ? {} : { instance: `/v1/orders/${orderId}` }),
    ...extensionOf(refusal),
  };
}

/** Last route: nothing else matched. */
export const notFound: RequestHandler = () => {
  throw new CheckoutError('NOT_FOUND', 'there is nothing here');
};

/** For the other methods of a path that exists. */
export const notAllowed =
  (allowed: string): RequestHandler =>
  (_req, res) => {
    res.set('Allow', allowed);
    throw new CheckoutError('METHOD_NOT_ALLOWED', `only ${allowed} here`);
  };

function refusalOf(error: unknown): Refusal {
  if (error instanceof CheckoutError) return { code: error.code, message: error.message, detail: error.detail };
  if (error instanceof Unavailable) return { code: 'TEMPORARILY_UNAVAILABLE', message: error.message };
  if (isOutage(error)) {
    return { code: 'TEMPORARILY_UNAVAILABLE', message: 'a service behind this one does not answer; try again' };
  }
  const status = frameworkStatusOf(error);
  if (status === undefined) return { code: 'INTERNAL_ERROR', message: 'something broke on our side; it is in our log' };
  const code = CODE_OF_STATUS[status] ?? 'MALFORMED_REQUEST';
  return { code, message: titleOf(code).toLowerCase() };
}

/** Our own wording, because the framework's messages repeat what was sent. */
function frameworkStatusOf(error: unknown): number | undefined {
  if (!(error instanceof Error) || !('status' in error) || typeof error.status !== 'number') return undefined;
  return error.status >= 400 && error.status < 500 ? error.status : undefined;
}

/** What a caller may see of a refusal's detail: an allow-list, because details are made for our own records. */
function extensionOf({ code, detail }: Refusal): object {
  if (code === 'INVALID_REQUEST') return pick(detail, 'errors');
  if (LINE_CODES.includes(code)) return { lines: detail };
  if (code === 'PRICE_CHANGED') return pick(detail, 'total');
  if (code === 'PAYMENT_METHOD_INVALID') return pick(detail, 'methods');
  if (code === 'REFUND_EXCEEDS_CAPTURE') return pick(detail, 'left');
  return {};
}

/** Refused because of certain lines: the detail is their list. */
const LINE_CODES: readonly ErrorCode[] = ['OUT_OF_STOCK', 'UNKNOWN_PRODUCT', 'PRODUCT_NOT_FOR_SALE'];

const pick = (detail: unknown, key: string): object =>
  typeof detail === 'object' && detail !== null && key in detail
    ? { [key]: (detail as Record<string, unknown>)[key] }
    : {};

const titleOf = (code: ErrorCode): string => code.charAt(0) + code.slice(1).toLowerCase().replaceAll('_', ' ');
