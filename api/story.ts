import { type Client, isGrpcServiceError, WorkflowNotFoundError } from '@temporalio/client';
import pLimit from 'p-limit';

import { readStockStory } from '../activities/inventory/read-story.ts';
import type { OrderView } from '../activities/orders/read.ts';
import { type PaymentStory, readPaymentStory } from '../activities/payments/read-story.ts';
import { checkoutWorkflowId, refundWorkflowId, repairWorkflowId, webhookWorkflowId } from '../domain/workflow-ids.ts';
import { type OutboxEntry, readAggregateEvents } from '../events/read-aggregate.ts';
import type { Logger } from '../infra/log.ts';
import { readApplied } from '../projections/read-story.ts';
import { atOnce } from './at-once.ts';
import { callerOf, ownerFilter } from './auth.ts';
import { type MissingPart, type Story, type StoryEntry, type StorySource, tellOrderStory } from './contract/story.ts';
import type { ApiDeps } from './deps.ts';
import { noSuchOrder, orderIdOf } from './order-for.ts';
import { whereaboutsOf } from './order-whereabouts.ts';
import { Unavailable, within } from './outage.ts';
import { type Route, route } from './routes.ts';
import { byTime, eventEntry, orderEntries, paymentEntries, stockEntry, workflowEntry } from './story-entries.ts';
import { readWorkflowStory, type StoryWorkflow } from './story-history.ts';

/** For one source; each is asked beside the others where it can be. Milliseconds. */
const SOURCE_LIMIT_MS = 3_000;
/** A call that is being repeated when its time is over says so a little later: it must not be left alone meanwhile. */
const LAST_REPEAT_MS = 2_500;
/** Of one source, and of the whole. */
const MOST_OF_SOURCE = 500;
const MOST_ENTRIES = 2_000;
const MOST_WORKFLOWS = 25;
/** Of all stories that this process tells: who asks for many must not keep Temporal from running checkouts. */
const WORKFLOWS_AT_ONCE = 8;
/** Of one caller: with more, others would wait behind theirs. */
const STORIES_AT_ONCE = 4;
/** Of gRPC: NOT_FOUND. */
const NOT_KNOWN: readonly number[] = [5];

/** All that happened for an order on one time line (docs/decisions/0034). */
export function storyRoutes(deps: ApiDeps): readonly Route[] {
  const turn = pLimit(WORKFLOWS_AT_ONCE);
  return [
    route(tellOrderStory, atOnce(STORIES_AT_ONCE), async (req, res) => {
      const caller = callerOf(res);
      const orderId = orderIdOf(req.params['orderId']);
      const found = await whereaboutsOf(deps, { orderId, customerId: ownerFilter(caller) });
      if (found === undefined) throw noSuchOrder();
      const order = 'order' in found ? found.order : undefined;
      const story = await tellStory(deps, { orderId, order, admin: caller.role === 'admin', turn, log: req.log });
      res.set('Cache-Control', 'private, no-store').json(story);
    }),
  ];
}

type Turn = ReturnType<typeof pLimit>;
type Asked = Readonly<{ orderId: string; order: OrderView | undefined; admin: boolean; turn: Turn; log: Logger }>;

async function tellStory(
  { databases, temporal }: ApiDeps,
  { orderId, order, admin, turn, log }: Asked,
): Promise<Story> {
  const gaps = new Gaps(log);
  const { platform, payment, views } = databases;
  const [paid, orderEvents] = await Promise.all([
    gaps.try('payments', readPaymentStory(payment, orderId, MOST_OF_SOURCE)),
    gaps.try('orders', readAggregateEvents(databases.order, 'order', [{ id: orderId }], MOST_OF_SOURCE)),
  ]);
  const refundIds = [...new Set(paid?.refunds.map(({ refundId }) => refundId))];
  const [stock, sagas] = await Promise.all([
    gaps.try('inventory', readStockStory(platform, { orderId, refundIds }, MOST_OF_SOURCE)),
    readSagas(temporal.client, workflowsOf(orderId, paid), { admin, turn }, gaps),
  ]);
  const events = [...(orderEvents ?? []), ...(paid?.events ?? []), ...(stock?.events ?? [])];
  const told = [
    ...sagas.entries,
    ...orderEntries(order),
    ...(stock?.ledger ?? []).map(stockEntry),
    ...(paid === undefined ? [] : paymentEntries(paid, admin)),
    ...(await tellEvents(views, events, gaps)),
  ].sort(byTime);
  const full = [orderEvents, paid?.events, paid?.refunds, paid?.webhooks, stock?.ledger, stock?.events];
  const truncated =
    sagas.truncated || told.length > MOST_ENTRIES || full.some((rows = []) => rows.length >= MOST_OF_SOURCE);
  return { orderId, entries: told.slice(0, MOST_ENTRIES), missing: gaps.missing, truncated };
}

/** What could not be asked, each once; why, is in the log. */
class Gaps {
  readonly missing: MissingPart[] = [];
  readonly #log: Logger;

  constructor(log: Logger) {
    this.#log = log;
  }

  add(source: StorySource, reason: MissingPart['reason']): void {
    if (this.missing.some((gap) => gap.source === source && gap.reason === reason)) return;
    this.missing.push({ source, reason });
  }

  /** The rest of the story is told without a source that fails, whatever its reason. */
  async try<T>(source: StorySource, work: Promise<T>, limitMs = SOURCE_LIMIT_MS): Promise<T | undefined> {
    try {
      return await within(limitMs, work);
    } catch (error) {
      this.#log.error({ err: error, source }, 'a story was told without this source');
      this.add(source, 'UNAVAILABLE');
      return undefined;
    }
  }
}

/** A settlement has no workflow of its own: whoever gave up the order makes it. */
function workflowsOf(orderId: string, paid: PaymentStory | undefined): StoryWorkflow[] {
  const refunds = new Set(paid?.refunds.filter(({ asked }) => asked).map(({ refundId }) => refundId));
  return [
    { workflow: 'checkout', workflowId: checkoutWorkflowId(orderId) },
    { workflow: 'repair', workflowId: repairWorkflowId(orderId) },
    ...[...refunds].map((id) => ({ workflow: 'refund' as const, workflowId: refundWorkflowId(id) })),
    ...(paid?.webhooks ?? []).map(({ provider, eventId }) => ({
      workflow: 'webhook' as const,
      workflowId: webhookWorkflowId(provider, eventId),
    })),
  ];
}

type Sagas = Readonly<{ entries: readonly StoryEntry[]; truncated: boolean }>;

async function readSagas(
  client: Client,
  workflows: readonly StoryWorkflow[],
  { admin, turn }: Pick<Asked, 'admin' | 'turn'>,
  gaps: Gaps,
): Promise<Sagas> {
  const deadline = Date.now() + SOURCE_LIMIT_MS;
  const read = async (named: StoryWorkflow): Promise<Sagas> => {
    if (Date.now() >= deadline) throw new Unavailable('its turn to ask Temporal did not come in time');
    try {
      return await client.withDeadline(deadline, () => readWorkflowStory(client, named, { messages: admin }));
    } catch (error) {
      if (!isUnknown(error)) throw error;
      if (named.workflow !== 'repair') gaps.add('workflows', 'FORGOTTEN'); // few orders were ever repaired
      return { entries: [], truncated: false };
    }
  };
  const limitMs = SOURCE_LIMIT_MS + LAST_REPEAT_MS;
  const asked = workflows.slice(0, MOST_WORKFLOWS).map((named) =>
    gaps.try(
      'workflows',
      turn(() => read(named)),
      limitMs,
    ),
  );
  const stories = (await Promise.all(asked)).filter((story) => story !== undefined);
  return {
    entries: stories.flatMap(({ entries }) => entries).map((entry) => workflowEntry(entry, admin)),
    truncated: workflows.length > MOST_WORKFLOWS || stories.some(({ truncated }) => truncated),
  };
}

const isUnknown = (error: unknown): boolean =>
  error instanceof WorkflowNotFoundError || (isGrpcServiceError(error) && NOT_KNOWN.includes(error.code));

async function tellEvents(
  views: ApiDeps['databases']['views'],
  events: readonly OutboxEntry[],
  gaps: Gaps,
): Promise<StoryEntry[]> {
  const ids = events.map(({ eventId }) => eventId);
  const applied = await gaps.try('views', readApplied(views, ids));
  const entries = events.map((event) => eventEntry(event, applied));
  const unknown = events.flatMap((event) => applied?.of(event) ?? []).filter(({ at }) => at === null);
  if (unknown.some(({ view }) => applied?.forgetful.has(view))) gaps.add('views', 'FORGOTTEN');
  return entries;
}
