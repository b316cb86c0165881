import { setTimeout as sleep } from 'node:timers/promises';

import type { Request, RequestHandler, Response } from 'express';

import { CheckoutError } from '../domain/errors.ts';
import type { IsApplied, OrderWrite } from '../projections/read-applied.ts';
import { callerOf, ownerFilter } from './auth.ts';
import { READ_LIMIT_MS, within } from './outage.ts';

const HEADER = 'Read-After';
const APPLIED = 'Read-After-Applied';
/** Longest that a read is held back for a write, milliseconds. The events of a shop at work arrive much sooner. */
const PATIENCE_MS = 2_000;
const FIRST_PAUSE_MS = 10;
const LONGEST_PAUSE_MS = 100;

/** Tells the version of an order that was answered: a client that sends the header back reads lists which have it. */
export function tellReadAfter(res: Response, order: Readonly<{ orderId: string; version: number }>): void {
  res.set(HEADER, `${order.orderId}:${order.version}`);
}

/**
 * Holds a read back until the view shows the write that the request names, at most two seconds: `Read-After-Applied` says
 * whether it does. A request that names none is not held back. It comes after the check of the caller's role.
 *
 * @param isApplied how this view tells; asked again and again
 */
export const afterWrite =
  (isApplied: (write: OrderWrite) => IsApplied): RequestHandler =>
  async (req, res, next) => {
    const write = writeIn(req);
    if (write !== undefined) {
      const wanted = { ...write, userId: ownerFilter(callerOf(res)) };
      res.set(APPLIED, String(await comes(isApplied(wanted), res)));
    }
    next();
  };

async function comes(isApplied: IsApplied, res: Response): Promise<boolean> {
  const deadlineMs = performance.now() + PATIENCE_MS;
  for (let pauseMs = FIRST_PAUSE_MS; ; pauseMs = Math.min(2 * pauseMs, LONGEST_PAUSE_MS)) {
    if (await within(READ_LIMIT_MS, isApplied())) return true;
    if (res.closed || performance.now() + pauseMs > deadlineMs) return false;
    await sleep(pauseMs);
  }
}

/** @throws CheckoutError MALFORMED_REQUEST for a header that is none of ours */
function writeIn(req: Request): Omit<OrderWrite, 'userId'> | undefined {
  const header = req.get(HEADER);
  if (header === undefined) return undefined;
  const [, orderId, version] = /^([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}):([1-9]\d{0,14})$/i.exec(header) ?? [];
  if (orderId === undefined || version === undefined) {
    throw new CheckoutError('MALFORMED_REQUEST', `${HEADER} must be that of an earlier answer`);
  }
  return { orderId, version: Number(version) };
}
