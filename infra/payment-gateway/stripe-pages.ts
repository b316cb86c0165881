import type Stripe from 'stripe';
import type { z } from 'zod';

import { GatewayOutage } from './outage.ts';
import { type AskStripe, reading } from './stripe-client.ts';
import { pageOf } from './stripe-shapes.ts';

/** Where a page starts and how long it is. */
export type Page = Readonly<{ limit: number; starting_after?: string }>;

/**
 * Every item of a list, newest first, page by page: each page is checked before its items are believed.
 *
 * @throws GatewayOutage also for a page that promises more and holds nothing
 */
export async function* itemsOf<T extends Readonly<{ id: string }>>(
  ask: AskStripe,
  action: string,
  item: z.ZodType<T>,
  limit: number,
  send: (stripe: Stripe, page: Page) => Promise<unknown>,
  signal?: AbortSignal,
): AsyncIterable<T> {
  for (let last: T | undefined, more = true; more;) {
    const page: Page = last === undefined ? { limit } : { limit, starting_after: last.id };
    const { data, has_more } = await reading(ask)(action, pageOf(item), (stripe) => send(stripe, page), signal);
    yield* data;
    last = data.at(-1);
    more = has_more;
    if (more && last === undefined) throw new GatewayOutage(`${action}: an empty page is not the last one`);
  }
}
