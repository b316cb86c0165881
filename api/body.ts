import express, { type Request, type RequestHandler } from 'express';

import { CheckoutError } from '../domain/errors.ts';
import { parseStrictJson } from './strict-json.ts';

const LONGEST_BODY = 64 * 1_024; // bytes

const rawUpTo = (limit: number): RequestHandler => express.raw({ type: () => true, limit, inflate: false });

const requireJson: RequestHandler = (req, _res, next) => {
  const charset = /;\s*charset\s*=\s*"?([\w-]+)/i.exec(req.get('content-type') ?? '')?.[1]?.toLowerCase();
  if (req.is('application/json') === false || (charset !== undefined && charset !== 'utf-8')) {
    throw new CheckoutError('UNSUPPORTED_MEDIA_TYPE', 'send the body as application/json in UTF-8');
  }
  next();
};

const parse: RequestHandler = (req, _res, next) => {
  req.body = parseStrictJson(bytesOf(req));
  next();
};

/** Reads a body of at most 64 KiB as it was sent, for those who sign its bytes. Get it with `bytesOf`. */
export const rawBody: readonly RequestHandler[] = [rawUpTo(LONGEST_BODY)];

/** The bytes of the body; none where there was none. */
export const bytesOf = ({ body }: Request): Buffer => (Buffer.isBuffer(body) ? body : Buffer.alloc(0));

/**
 * Reads a JSON body of at most 64 KiB, or of as many bytes as its operation says. Mounted per route and after the token,
 * so that strangers upload nothing.
 */
export const jsonBodyUpTo = (limit = LONGEST_BODY): readonly RequestHandler[] => [requireJson, rawUpTo(limit), parse];
export const jsonBody = jsonBodyUpTo();
