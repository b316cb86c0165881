import type { Request, RequestHandler, Response } from 'express';

import { CheckoutError } from '../domain/errors.ts';
import type { Role } from '../domain/roles.ts';
import { type Caller, InvalidToken, type VerifyToken } from '../infra/tokens.ts';

/** One message for every reason: what was wrong with a token helps only who forged it. */
const unauthenticated = (): CheckoutError =>
  new CheckoutError('UNAUTHENTICATED', 'send a valid bearer token in the Authorization header');

type Identity = Readonly<{ caller: Caller } | { rejected: InvalidToken } | { unverified: unknown }>;

/**
 * Finds out who asks and decides nothing yet: the rate limit comes first, so that guessing tokens is limited too, also
 * while none can be verified.
 */
export function identify(verify: VerifyToken): RequestHandler {
  return async (req, res, next) => {
    const header = req.get('authorization');
    if (isTwofold(req)) res.locals['identity'] = { rejected: new InvalidToken('more than one Authorization header') };
    else if (header !== undefined) res.locals['identity'] = await identityOf(header, verify);
    next();
  };
}

/**
 * Answers 401 to a token that was sent and is not good, on public routes too. A verification that could not be made (keys
 * unreachable) is passed on as the outage that it is.
 */
export const refuseBadTokens: RequestHandler = (req, res, next) => {
  const identity = identityIn(res);
  if (identity !== undefined && 'unverified' in identity) throw identity.unverified;
  if (identity !== undefined && 'rejected' in identity) {
    req.log.info({ reason: identity.rejected.message }, 'token refused');
    throw unauthenticated();
  }
  next();
};

/** Lets callers with one of the roles pass: 401 without a token, 403 with another role. */
export const only =
  (...roles: readonly Role[]): RequestHandler =>
  (_req, res, next) => {
    if (!roles.includes(callerOf(res).role)) throw new CheckoutError('FORBIDDEN', 'your role may not do this');
    next();
  };

/** @throws CheckoutError UNAUTHENTICATED when nobody was identified */
export function callerOf(res: Response): Caller {
  const caller = callerIn(res);
  if (caller === undefined) throw unauthenticated();
  return caller;
}

/** Who asks, if anybody said so. */
export function callerIn(res: Response): Caller | undefined {
  const identity = identityIn(res);
  return identity !== undefined && 'caller' in identity ? identity.caller : undefined;
}

/** The owner that a query must be limited to: null for an administrator, who sees everything. */
export const ownerFilter = ({ id, role }: Caller): string | null => (role === 'admin' ? null : id);

const identityIn = (res: Response): Identity | undefined => res.locals['identity'] as Identity | undefined;

/** Node keeps the first of several: a proxy in front of us that reads the last one would see another caller. */
const isTwofold = (req: Request): boolean => (req.headersDistinct['authorization']?.length ?? 0) > 1;

async function identityOf(header: string, verify: VerifyToken): Promise<Identity> {
  const token = bearerToken(header);
  if (token === undefined) return { rejected: new InvalidToken('not a bearer token') };
  try {
    return { caller: await verify(token) };
  } catch (error) {
    return error instanceof InvalidToken ? { rejected: error } : { unverified: error };
  }
}

const bearerToken = (header: string): string | undefined => /^bearer +([\w.~+/-]+=*)$/i.exec(header)?.[1];

/** Key of a caller for the rate limit; undefined for a request without a good token. */
export const limitKeyOf = (_req: Request, res: Response): string | undefined => {
  const caller = callerIn(res);
  return caller === undefined ? undefined : `caller:${caller.id}`;
};
