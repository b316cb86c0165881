import { Webhook } from 'standardwebhooks';

import type { Databases } from '../infra/databases.ts';
import type { Logger } from '../infra/log.ts';
import { endAllDue } from './charges.ts';
import { claimDue, type Delivery, endDelivery, postpone, pruneDeliveries } from './deliveries.ts';
import { takeFault } from './faults.ts';
import { sleep } from './sleep.ts';

/** Where webhooks go, and the secret that signs them: `whsec_` and base64. */
export type WebhookEndpoint = Readonly<{ url: string; secret: string }>;

export type SenderDeps = Readonly<{
  db: Databases['gateway'];
  log: Pick<Logger, 'error' | 'warn'>;
  /** Without one nothing is sent; what has to be told is kept. */
  endpoint: WebhookEndpoint | undefined;
  /** Scripts are obeyed only where they can be written. */
  faultsEnabled: boolean;
}>;

/** What goes on in the gateway although nobody calls: charges that land, refunds that end, webhooks. */
export type Sender = Readonly<{
  /** Looks for work now instead of at the next turn. */
  wake: () => void;
  /** Starts nothing more; what is being sent is cut off after a moment, and sent again after a restart. */
  close: () => Promise<void>;
}>;

const TURN_MS = 250;
const AT_ONCE = 8;
const SEND_LIMIT_MS = 5_000;
/** Longer than an attempt can take, so that nobody claims a delivery that is being sent. */
const CLAIM_MS = SEND_LIMIT_MS + 3_000;
const FIRST_PAUSE_MS = 500;
const LONGEST_PAUSE_MS = 60_000;
const DRAIN_MS = 1_000;
const KEPT_MS = 24 * 60 * 60_000;
const PRUNE_EVERY_MS = 60_000;
const PRUNED_AT_ONCE = 1_000;

/** Starts to work in the background until it is closed. A failure of the database is logged, and tried again. */
export function startSender(deps: SenderDeps): Sender {
  const { db, log, endpoint } = deps;
  const sending = new Set<Promise<void>>();
  const cutOff = new AbortController();
  let closing = false;
  let woken = new AbortController();
  let prunedAt = Date.now();
  const wake = (): void => woken.abort();

  const turn = async (): Promise<void> => {
    await endAllDue(db);
    if (Date.now() - prunedAt > PRUNE_EVERY_MS) {
      prunedAt = Date.now();
      await pruneDeliveries(db, KEPT_MS, PRUNED_AT_ONCE);
    }
    if (endpoint === undefined || sending.size >= AT_ONCE) return;
    for (const delivery of await claimDue(db, AT_ONCE - sending.size, CLAIM_MS)) {
      const sent = deliver(deps, endpoint, delivery, cutOff.signal)
        .catch((error: unknown) => log.error({ err: error, eventId: delivery.eventId }, 'a delivery is not recorded'))
        .finally(() => {
          sending.delete(sent);
          wake();
        });
      sending.add(sent);
    }
  };
  const work = async (): Promise<void> => {
    while (!closing) {
      woken = new AbortController();
      try {
        await turn();
      } catch (error) {
        log.error({ err: error }, 'the gateway could not look for work');
      }
      if (!closing) await sleep(TURN_MS, woken.signal);
    }
  };

  const working = work();
  return {
    wake,
    close: async () => {
      closing = true;
      wake();
      await working;
      const limit = setTimeout(() => cutOff.abort(), DRAIN_MS);
      await Promise.all(sending);
      clearTimeout(limit);
    },
  };
}

/** One attempt, or what a script makes of it. */
async function deliver(
  { db, log, faultsEnabled }: SenderDeps,
  endpoint: WebhookEndpoint,
  delivery: Delivery,
  cutOff: AbortSignal,
): Promise<void> {
  const scripted = faultsEnabled && delivery.attempts === 1;
  const fault = scripted ? await takeFault(db, 'webhook', delivery.orderId) : undefined;
  if (fault?.mode === 'lose') return endDelivery(db, delivery, 'lost');
  if (fault?.mode === 'delay') return postpone(db, delivery, fault.ms);
  if (fault?.mode === 'reorder') return postpone(db, delivery, fault.ms, true);

  const copies = fault?.mode === 'duplicate' ? (fault.copies ?? 2) : 1;
  const problems = await Promise.all(Array.from({ length: copies }, () => sendOnce(endpoint, delivery, cutOff)));
  const problem = problems.find((each) => each !== undefined);
  if (problem === undefined) return endDelivery(db, delivery, 'delivered');

  log.warn({ eventId: delivery.eventId, attempts: delivery.attempts, problem }, 'a webhook was not taken');
  await postpone(db, delivery, Math.min(FIRST_PAUSE_MS * 2 ** (delivery.attempts - 1), LONGEST_PAUSE_MS));
}

/** @returns what kept the message from being taken; undefined after a 2xx */
async function sendOnce(
  { url, secret }: WebhookEndpoint,
  { eventId, body }: Delivery,
  cutOff: AbortSignal,
): Promise<string | undefined> {
  const sentAt = new Date();
  try {
    const response = await fetch(url, {
      method: 'POST',
      headers: {
        'content-type': 'application/json',
        'webhook-id': eventId,
        'webhook-timestamp': String(Math.floor(sentAt.getTime() / 1_000)),
        'webhook-signature': new Webhook(secret).sign(eventId, sentAt, body),
      },
      body,
      redirect: 'manual',
      signal: AbortSignal.any([AbortSignal.timeout(SEND_LIMIT_MS), cutOff]),
    });
    await response.body?.cancel();
    return response.ok ? undefined : `HTTP ${response.status}`;
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
}
