import { type Request, type RequestHandler, type Response, Router } from 'express';

import { only } from './auth.ts';
import { jsonBodyUpTo } from './body.ts';
import type { Access, Operation } from './contract/operation.ts';
import { notAllowed } from './problem.ts';

/** An operation and what carries it out, once access was checked and the body was read. */
export type Route = Readonly<{ operation: Operation; handlers: readonly RequestHandler[] }>;

type Handler = (req: Request, res: Response) => unknown;

/** @param handlers those before the last one are middleware of this operation alone */
export const route = (operation: Operation, ...handlers: readonly [...RequestHandler[], Handler]): Route => ({
  operation,
  handlers: handlers as readonly RequestHandler[],
});

/**
 * Mounts operations, each behind its access, and answers 405 to the other methods of their paths. Paths are tried in the
 * order in which they are first named: `/v1/users/me` comes before `/v1/users/{userId}`.
 */
export function mount(routes: readonly Route[]): Router {
  const router = Router();
  for (const path of new Set(routes.map(({ operation }) => operation.path))) {
    const own = routes.filter(({ operation }) => operation.path === path);
    for (const { operation, handlers } of own) {
      router[operation.method](expressPath(path), ...allowing(operation.access), ...bodyOf(operation), ...handlers);
    }
    router.all(expressPath(path), notAllowed(allowed(own.map(({ operation }) => operation.method))));
  }
  return router;
}

/** `/v1/orders/{orderId}` as Express writes it. */
export const expressPath = (path: string): string => path.replaceAll(/\{(\w+)\}/g, ':$1');

const allowing = (access: Access): readonly RequestHandler[] => (typeof access === 'string' ? [] : [only(...access)]);

/**
 * Read after the token was checked, so that strangers upload nothing. Where the body is signed, its route reads it, once it
 * knows whose signature to expect.
 */
const bodyOf = ({ access, body, largestBodyBytes }: Operation): readonly RequestHandler[] =>
  body === undefined || access === 'signature' ? [] : jsonBodyUpTo(largestBodyBytes);

/** For `Allow`. */
const allowed = (methods: readonly Operation['method'][]): string =>
  ['get', 'post', 'patch']
    .filter((method) => methods.some((one) => one === method))
    .map((method) => (method === 'get' ? 'GET, HEAD' : method.toUpperCase()))
    .join(', ');
