import type { Client } from '@temporalio/client';
import pLimit from 'p-limit';

import {
  checkoutWorkflowId,
  refundWorkflowId,
  repairWorkflowId,
  webhookWorkflowId,
} from '../../domain/workflow-ids.ts';
import { isRunning } from '../running-workflows.ts';
import type { Finding } from './finding.ts';
import { orderIdsAmong } from './order-ids.ts';
import { CannotLook, type Snapshot } from './snapshot.ts';

/** What the audit asks of Temporal. */
export type Workflows = Readonly<{
  /** @throws CannotLook when Temporal does not answer */
  check: () => Promise<void>;
  /** True while the workflow runs. @throws CannotLook when Temporal does not answer */
  isOpen: (workflowId: string) => Promise<boolean>;
}>;

const CALL_LIMIT_MS = 5_000;
const CALLS_AT_ONCE = 16;

/** Asks a Temporal server by Describe: visibility lags behind, and an age proves nothing. */
export function temporalWorkflows(client: Client, address: string): Workflows {
  const { connection, options } = client;
  const { namespace } = options;
  const ask = async <T>(question: () => Promise<T>): Promise<T> => {
    try {
      return await connection.withDeadline(Date.now() + CALL_LIMIT_MS, question);
    } catch (error) {
      const why = error instanceof Error ? (error.cause instanceof Error ? error.cause.message : error.message) : error;
      throw new CannotLook(
        `Temporal at ${address}, namespace ${namespace}, cannot be asked: ${String(why)}. Start it, correct TEMPORAL_ADDRESS, or use --no-temporal.`,
        { cause: error, what: 'Temporal' },
      );
    }
  };
  return {
    check: async () => {
      await ask(() => connection.workflowService.describeNamespace({ namespace }));
    },
    isOpen: (workflowId) => ask(() => isRunning(client, workflowId)),
  };
}

/**
 * Which workflows run that may still put a suspect right: of its order the checkout, the repair, every refund and every
 * webhook that is not handled, and the suspect's own. A few calls at once, none for anything that is no suspect.
 *
 * @returns running workflow ids by the row of the suspect; a row without any is absent
 */
export async function runningFor(
  { isOpen }: Workflows,
  payment: Snapshot,
  suspects: readonly Finding[],
): Promise<Map<string, string[]>> {
  const orderIds = [...new Set(suspects.flatMap(({ orderId }) => orderId ?? []))];
  const [refunds, webhooks] = [await refundsOf(payment, orderIds), await openWebhooksOf(payment, orderIds)];
  const limit = pLimit(CALLS_AT_ONCE);
  const asked = new Map<string, Promise<boolean>>();
  const isRunning = (id: string): Promise<boolean> => {
    const answer = asked.get(id) ?? limit(() => isOpen(id));
    asked.set(id, answer);
    return answer;
  };
  const running = new Map<string, string[]>();
  await Promise.all(
    suspects.map(async ({ row, orderId, workflowId }) => {
      const ofOrder =
        orderId === null
          ? []
          : [
              checkoutWorkflowId(orderId),
              repairWorkflowId(orderId),
              ...(refunds.get(orderId) ?? []).map(refundWorkflowId),
              ...(webhooks.get(orderId) ?? []),
            ];
      const ids = [...new Set([...ofOrder, workflowId ?? []].flat())];
      const open = await Promise.all(ids.map(isRunning));
      const own = ids.filter((_, index) => open[index]);
      if (own.length > 0) running.set(row, own);
    }),
  );
  return running;
}

/** Every refund ever begun for these orders: their workflows are named after them. */
async function refundsOf(payment: Snapshot, orderIds: readonly string[]): Promise<Map<string, string[]>> {
  const rows = await payment.query<{ orderId: string; ids: string[] }>(
    `select p.order_id::text as "orderId", array_agg(r.id::text) as ids
     from payments p join refunds r on r.payment_id = p.id
     where p.order_id = any($1::uuid[]) group by p.order_id`,
    [orderIdsAmong(orderIds)],
  );
  return new Map(rows.map(({ orderId, ids }) => [orderId, ids]));
}

/** What the provider told about these orders and nobody has handled yet: the workflows, whose last step is the outcome. */
async function openWebhooksOf(payment: Snapshot, orderIds: readonly string[]): Promise<Map<string, string[]>> {
  const rows = await payment.query<{ orderId: string; provider: string; eventId: string }>(
    `select p.order_id::text as "orderId", w.provider, w.event_id as "eventId"
     from payment_webhooks w join payments p on p.provider = w.provider and p.provider_payment_id = w.provider_payment_id
     where w.outcome is null and p.order_id = any($1::uuid[])`,
    [orderIdsAmong(orderIds)],
  );
  const ids = new Map<string, string[]>();
  for (const { orderId, provider, eventId } of rows) {
    ids.set(orderId, [...(ids.get(orderId) ?? []), webhookWorkflowId(provider, eventId)]);
  }
  return ids;
}
