import pLimit from 'p-limit';

import { orderNumberOf } from '../domain/checkout.ts';
import type { TemporalClient } from '../infra/temporal.ts';
import { SEARCH_ATTRIBUTES, type StatusAnswer, statusQuery } from '../workflows/contract.ts';

/** Longest wait for one workflow to say how it stands, milliseconds. Without a worker it cannot. */
const QUERY_LIMIT_MS = 2_000;
/** Workflows that are asked at once: each takes a worker's time. */
export const ASKED_AT_ONCE = 10;
const PAGE = 100;
const PARKED = `${SEARCH_ATTRIBUTES.checkoutStatus.name} = "NEEDS_ATTENTION" and ExecutionStatus = "Running"`;
const CHECKOUT_OR_REPAIR = /^(?:checkout|repair)-([0-9a-f-]{36})$/;

/** A workflow that waits for a person. `parked` is null where it did not say. */
export type ParkedWork = Readonly<{
  workflowId: string;
  type: string;
  orderId: string | null;
  orderNumber: string | null;
  customerId: string | null;
  parked: StatusAnswer['parked'] | null;
}>;

type Listed = Pick<ParkedWork, 'workflowId' | 'type' | 'customerId'>;

/**
 * One page of what Temporal's visibility shows as parked, which is a moment behind.
 *
 * @param token null for the first page
 * @param deadline milliseconds since 1970
 */
export async function listParked(
  { client, namespace }: TemporalClient,
  { limit, token, deadline }: Readonly<{ limit: number; token: Buffer | null; deadline: number }>,
): Promise<Readonly<{ items: readonly Listed[]; next: Buffer | null }>> {
  const { executions, nextPageToken } = await client.withDeadline(deadline, () =>
    client.workflowService.listWorkflowExecutions({
      namespace,
      pageSize: limit,
      query: PARKED,
      ...(token !== null && { nextPageToken: token }),
    }),
  );
  const items = executions.map(({ execution, type, searchAttributes }) => ({
    workflowId: execution?.workflowId ?? '',
    type: type?.name ?? '',
    customerId: keywordIn(searchAttributes?.indexedFields?.[SEARCH_ATTRIBUTES.customerId.name]?.data),
  }));
  return { items, next: nextPageToken.length === 0 ? null : Buffer.from(nextPageToken) };
}

/**
 * What a workflow itself says about its parked steps. Undefined when it is parked no more.
 *
 * @param deadline milliseconds since 1970: whoever has not answered until then is listed without its steps
 */
export async function askParked(
  temporal: TemporalClient,
  listed: Listed,
  deadline: number,
): Promise<ParkedWork | undefined> {
  const said = await statusOf(temporal, listed.workflowId, Math.min(deadline, Date.now() + QUERY_LIMIT_MS));
  if (said?.parked.length === 0) return undefined;
  const orderId = said?.orderId ?? CHECKOUT_OR_REPAIR.exec(listed.workflowId)?.[1] ?? null;
  return {
    ...listed,
    orderId,
    orderNumber: orderId === null ? null : orderNumberOf(orderId),
    parked: said?.parked ?? null,
  };
}

/**
 * The parked workflows of an order that do not bear its id: refunds and webhooks.
 *
 * @param deadline milliseconds since 1970
 * @returns `silent`: parked ones that did not answer, so that nobody knows whose they are
 */
export async function parkedOthers(
  temporal: TemporalClient,
  orderId: string,
  deadline: number,
): Promise<Readonly<{ workflowIds: readonly string[]; silent: readonly string[] }>> {
  const atMost = pLimit(ASKED_AT_ONCE);
  const found: ParkedWork[] = [];
  let token: Buffer | null = null;
  do {
    const page: Awaited<ReturnType<typeof listParked>> = await listParked(temporal, { limit: PAGE, token, deadline });
    const others = page.items.filter(({ workflowId }) => !CHECKOUT_OR_REPAIR.test(workflowId));
    const asked = await Promise.all(others.map((listed) => atMost(() => askParked(temporal, listed, deadline))));
    found.push(...asked.filter((work) => work !== undefined));
    token = page.next;
  } while (token !== null);
  const idsOf = (works: readonly ParkedWork[]) => works.map(({ workflowId }) => workflowId);
  return {
    workflowIds: idsOf(found.filter((work) => work.orderId === orderId)),
    silent: idsOf(found.filter(({ parked }) => parked === null)),
  };
}

/** Undefined where it did not answer, for whatever reason: a list of troubles must not fail because of one of them. */
async function statusOf(
  { client }: TemporalClient,
  workflowId: string,
  deadline: number,
): Promise<StatusAnswer | undefined> {
  try {
    return await client.withDeadline(deadline, () => client.workflow.getHandle(workflowId).query(statusQuery));
  } catch {
    return undefined;
  }
}

/** A search attribute as visibility stores it: JSON, and a list of one where the server knows no better. */
function keywordIn(data: Uint8Array | null | undefined): string | null {
  if (data === null || data === undefined) return null;
  const value: unknown = JSON.parse(Buffer.from(data).toString('utf8'));
  const first: unknown = Array.isArray(value) ? value[0] : value;
  return typeof first === 'string' ? first : null;
}
