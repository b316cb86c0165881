import type { Response } from 'express';

import type { Databases } from '../infra/databases.ts';
import { type Answer, errorAnswer, type Outcome } from './answers.ts';
import { type Fault, type Holds, takeFault } from './faults.ts';
import type { Route } from './requests.ts';
import { sleep } from './sleep.ts';

export type CallContext = Readonly<{
  db: Databases['gateway'];
  holds: Holds;
  /** Scripts are obeyed only where they can be written. */
  faultsEnabled: boolean;
  /** How long a connection that never gets its answer stays open, milliseconds. */
  hangMs: number;
  /** Told when a call may have left something to be sent. */
  changed: () => void;
}>;

/**
 * Runs one call under its scripted fault, if any: what happens before the effect, the effect, then what happens to
 * its answer. The effect is committed before anything is sent.
 */
export async function serveCall(
  context: CallContext,
  res: Response,
  call: Readonly<{ route: Route; orderId: string }>,
  work: (fault: Fault | undefined, gone: AbortSignal) => Promise<Outcome>,
): Promise<void> {
  const gone = goneSignal(res);
  const fault = context.faultsEnabled ? await takeFault(context.db, call.route, call.orderId) : undefined;

  if (fault?.kind === 'delay') await sleep(fault.ms, gone);
  if (fault?.kind === 'drop_before') {
    await sleep(fault.ms, gone);
    return cut(res);
  }
  if (fault?.kind === 'hang_before') {
    await sleep(context.hangMs, gone);
    return cut(res);
  }
  const instead = answerInstead(fault, call.route);
  if (instead !== undefined) return sendAnswer(res, instead, fault?.retryAfterSeconds ?? undefined);

  const outcome = await work(fault, gone);
  context.changed();
  if (outcome.connection !== 'answer' || fault?.kind === 'hang_after') {
    if (outcome.connection !== 'cut') await sleep(context.hangMs, gone);
    return cut(res);
  }

  if (fault?.kind === 'hold') await context.holds.wait(call, fault.ms, gone, sleep);
  if (fault?.kind === 'drop_after') {
    await sleep(fault.ms, gone);
    return cut(res);
  }
  if (fault?.kind === 'invalid_json') {
    res.status(outcome.answer.status).type('application/json').send('{"providerId":');
    return;
  }
  sendAnswer(res, outcome.answer);
}

export function sendAnswer(res: Response, { status, body }: Answer, retryAfterSeconds?: number): void {
  if (retryAfterSeconds !== undefined) res.set('retry-after', String(retryAfterSeconds));
  res
    .status(status)
    .type(status < 400 ? 'application/json' : 'application/problem+json')
    .send(JSON.stringify(body));
}

/** What is said with nothing done. */
function answerInstead(fault: Fault | undefined, route: Route): Answer | undefined {
  if (fault?.kind === 'refuse') {
    return errorAnswer(route === 'cancel' ? 'cancel_refused' : 'refund_refused', 'the bank refuses this for good');
  }
  if (fault?.kind === 'key_in_use') return errorAnswer('key_in_use', 'a request with this key is being worked on');
  if (fault?.kind === 'not_found') return errorAnswer('unknown_charge', 'there is no such charge');
  if (fault?.kind !== 'status') return undefined;
  if (fault.status === 429) return errorAnswer('rate_limited', 'too many requests');
  if (fault.status === 502) return errorAnswer('bad_gateway', 'the bank cannot be reached');
  if (fault.status === 503) return errorAnswer('unavailable', 'the gateway is down for a moment');
  return errorAnswer('server_error', 'the gateway failed');
}

const cut = (res: Response): void => {
  res.socket?.destroy();
};

function goneSignal(res: Response): AbortSignal {
  const gone = new AbortController();
  res.once('close', () => gone.abort());
  return gone.signal;
}
