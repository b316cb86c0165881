import { ActivityFailure, ApplicationFailure, CancellationScope, condition, setHandler } from '@temporalio/workflow';

import { orderNumberOf } from '../domain/checkout.ts';
import type { Refusal } from '../domain/errors.ts';
import type { BegunRefund, RefundInput } from '../domain/refund.ts';
import { begunUpdate } from './contract.ts';
import { refusalIn } from './failures.ts';
import { inRounds } from './rounds.ts';
import { surely } from './services.ts';
import { openWork, type Work } from './work.ts';

type Begun = Readonly<{ refund: BegunRefund }> | Readonly<{ refusal: Refusal }>;

/** A refund whose handlers answer. */
export type OpenRefund = Readonly<{
  work: Work;
  /** Puts the refund on record and answers the update `begun`. Call it once. */
  begin: () => Promise<Begun>;
}>;

/** State first, then the handlers that read it: the update `begun` arrives with the start. */
export function openRefund(input: RefundInput): OpenRefund {
  const work = openWork(`Refund of order ${orderNumberOf(input.orderId)}`, input.orderId);
  let begun: Begun | undefined;

  setHandler(
    begunUpdate,
    (requestHash) =>
      CancellationScope.nonCancellable(async () => {
        await condition(() => begun !== undefined);
        const answer = begun ?? NEVER;
        // Where the reconciler goes on with a refund, the hash is known only from its record.
        if ('refund' in answer && answer.refund.requestHash !== requestHash) throw reused();
        return { requestHash, ...answer };
      }),
    {
      description: 'Answers when the refund is on record, or was refused; input: the request hash',
      validator: (requestHash) => {
        if (input.request !== null && requestHash !== input.request.requestHash) throw reused();
      },
    },
  );

  return {
    work,
    begin: async () => {
      begun = await putOnRecord(work, input);
      if ('refusal' in begun) work.failureCode = begun.refusal.code;
      work.note('refund' in begun ? inWords(begun.refund) : `refused: ${begun.refusal.code}`);
      return begun;
    },
  };
}

async function putOnRecord(work: Work, input: RefundInput): Promise<Begun> {
  // In rounds, because the record may have been made although its answer was lost.
  const answer = await inRounds('beginRefund', work.attention, async (): Promise<Begun> => {
    try {
      return { refund: await beginRefund(input) };
    } catch (error) {
      const refusal = error instanceof ActivityFailure ? refusalIn(error) : undefined;
      if (refusal === undefined) throw error;
      return { refusal };
    }
  });
  return answer ?? NEVER;
}

async function beginRefund(input: RefundInput): Promise<BegunRefund> {
  const { orderId, request } = input;
  const lines =
    request === null
      ? [] // they are on record
      : await surely.orders.readRefundable.executeWithOptions({ summary: 'Read what the lines cost' }, [
          { orderId, lines: request.lines },
        ]);
  return surely.payments.beginRefund.executeWithOptions({ summary: 'Put the refund on record' }, [{ ...input, lines }]);
}

const inWords = ({ amount, lines }: BegunRefund): string =>
  `on record: ${amount.minor} ${amount.currency}, ${lines.length} lines`;

/** An operator marked the record as done while its service was down: nobody was told of a refund, so there is none. */
const NEVER = {
  refusal: { code: 'REFUND_REFUSED', message: 'an operator gave the refund up before it was on record' },
} as const satisfies Begun;

const reused = (): ApplicationFailure =>
  ApplicationFailure.nonRetryable('this key belongs to another request', 'IDEMPOTENCY_KEY_REUSED');
