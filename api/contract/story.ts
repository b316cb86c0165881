import { z } from 'zod';

import { databaseId, instant, money } from './fields.ts';
import type { Operation } from './operation.ts';
import { orderParams, orderStatus } from './orders.ts';

export const WORKFLOW_KINDS = ['checkout', 'refund', 'webhook', 'repair'] as const;
const OUTCOMES = ['RUNNING', 'DONE', 'FAILED', 'TIMED_OUT', 'CANCELLED'] as const;
const WORKFLOW_MOMENTS = [
  'STARTED',
  'COMPLETED',
  'FAILED',
  'CANCELLED',
  'TERMINATED',
  'TIMED_OUT',
  'CONTINUED',
] as const;

const forAdministrators = 'For administrators';
const workflow = z.enum(WORKFLOW_KINDS);
const workflowId = z.string().optional().describe(forAdministrators);

const workflowEntry = z.object({
  kind: z.literal('workflow'),
  at: instant,
  workflow,
  workflowId,
  what: z.enum(WORKFLOW_MOMENTS),
});

const stepEntry = z.object({
  kind: z.literal('step'),
  at: instant.describe('When it was asked for'),
  endedAt: instant.nullable(),
  workflow,
  workflowId,
  step: z.string().describe('Such as `reserveStock`'),
  outcome: z.enum(OUTCOMES),
  attempts: z.int().describe('0 until a worker has taken it'),
  failure: z
    .object({
      code: z.string().describe('Of the registry; TEMPORARILY_UNAVAILABLE for an outage'),
      message: z.string().optional().describe(forAdministrators),
    })
    .nullable()
    .describe('Of the last attempt that failed, also where a later one did not'),
});

const orderEntry = z.object({
  kind: z.literal('order'),
  at: instant,
  version: z.int(),
  status: orderStatus,
  reason: z.string().nullable(),
  actor: z.string(),
});

const stockEntry = z.object({
  kind: z.literal('stock'),
  at: instant,
  movement: z.string().describe('RESERVED, COMMITTED, RELEASED, or ADJUSTED for what a refund brought back'),
  lineNo: z.int().nullable(),
  productId: databaseId,
  variantId: databaseId.nullable(),
  locationCode: z.string(),
  quantityChange: z.int(),
  reservedChange: z.int(),
  reason: z.string().nullable(),
  refundId: z.guid().nullable(),
});

const failureCode = z.string().nullable().describe('Of the registry; administrators see those of the gateway as well');

const paymentEntry = z.object({
  kind: z.literal('payment'),
  at: instant,
  paymentId: z.guid(),
  what: z.string().describe('ASKED, IN_DOUBT, CAPTURED, FAILED or CANCELLED'),
  method: z.string(),
  amount: money,
  failureCode,
  provider: z.string().optional().describe(forAdministrators),
  providerPaymentId: z.string().nullable().optional().describe(forAdministrators),
});

const refundEntry = z.object({
  kind: z.literal('refund'),
  at: instant,
  refundId: z.guid(),
  what: z.enum(['REQUESTED', 'SUCCEEDED', 'FAILED']),
  amount: money,
  failureCode,
  reason: z.string().optional().describe(forAdministrators),
});

const webhookEntry = z
  .object({
    kind: z.literal('webhook'),
    at: instant,
    provider: z.string(),
    eventId: z.string(),
    type: z.string(),
    outcome: z.string().nullable(),
    handledAt: instant.nullable(),
  })
  .describe(forAdministrators);

const eventEntry = z.object({
  kind: z.literal('event'),
  at: instant.describe('When it happened'),
  eventId: z.guid(),
  type: z.string().describe('Such as `OrderPaid`'),
  aggregate: z.string(),
  version: z.int().describe('Of its aggregate'),
  publishedAt: instant.nullable().describe('When the bus had it; null while it waits'),
  applied: z
    .array(z.object({ view: z.string(), at: instant.nullable() }))
    .nullable()
    .describe('By the views that take it, and when; null where the views cannot be asked'),
});

const entry = z
  .discriminatedUnion('kind', [
    workflowEntry,
    stepEntry,
    orderEntry,
    stockEntry,
    paymentEntry,
    refundEntry,
    webhookEntry,
    eventEntry,
  ])
  .meta({ id: 'StoryEntry' });
export type StoryEntry = z.infer<typeof entry>;

const STORY_SOURCES = ['workflows', 'inventory', 'orders', 'payments', 'views'] as const;
export type StorySource = (typeof STORY_SOURCES)[number];

const missing = z.object({
  source: z.enum(STORY_SOURCES),
  reason: z
    .enum(['UNAVAILABLE', 'FORGOTTEN'])
    .describe('UNAVAILABLE: it does not answer now · FORGOTTEN: what it knew is older than it keeps'),
});
export type MissingPart = z.infer<typeof missing>;

export const story = z
  .object({
    orderId: z.guid(),
    entries: z.array(entry).describe('The first one first; each with the clock of its own service'),
    missing: z.array(missing).describe('What could not be asked: the rest is there all the same'),
    truncated: z.boolean().describe('There is more than is told here'),
  })
  .meta({ id: 'OrderStory' });
export type Story = z.infer<typeof story>;

export const tellOrderStory = {
  id: 'tellOrderStory',
  method: 'get',
  path: '/v1/orders/{orderId}/story',
  tag: 'orders',
  summary: 'All that happened for an order, on one time line',
  description: [
    'The steps of its checkout, refunds, webhooks and repairs with their attempts, its states, the movements of stock, payments and',
    'refunds, and every event with when it was published and which view applied it when. A source that does not answer is named in',
    '`missing`. A checkout that was refused, or is under way, has a story too. For people: it asks five services.',
  ].join(' '),
  access: ['customer', 'admin'],
  params: orderParams,
  answers: { 200: { description: 'The story so far.', body: story } },
} as const satisfies Operation;
