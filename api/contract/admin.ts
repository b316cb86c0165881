import { z } from 'zod';

import { cursor, databaseId, instant, next, pageSize, plainText, temporalLink } from './fields.ts';
import type { Operation } from './operation.ts';

const access = ['admin'] as const;
const tag = 'operations' as const;

/** Longest `cursor` of GET /v1/admin/attention, characters: Temporal's page tokens are long. */
const LONGEST_TOKEN = 2_000;
const LONGEST_GROUP = 100;
const LONGEST_WORKFLOW_ID = 400;
/** So much of it fits into the order's history, and is kept with a dead letter. */
const LONGEST_REASON = 400;

export const attentionQuery = z.strictObject({ cursor: cursor(LONGEST_TOKEN).optional(), limit: pageSize });

const parkedWork = z.object({
  workflowId: z.string(),
  type: z.string().describe("the workflow's type, such as `checkout`"),
  orderId: z.guid().nullable(),
  orderNumber: z.string().nullable(),
  customerId: z.string().nullable(),
  parked: z
    .array(z.object({ step: z.string(), reason: z.string(), since: instant }))
    .nullable()
    .describe('its steps that wait for a person; null where it did not say in time'),
  links: z.object({ order: z.string().optional(), temporal: temporalLink }),
});
export type ParkedWorkBody = z.infer<typeof parkedWork>;

export const listAttention = {
  id: 'listAttention',
  method: 'get',
  path: '/v1/admin/attention',
  tag,
  summary: 'What waits for a person: workflows with a parked step',
  description:
    "Checkouts, refunds, webhooks and repairs, as Temporal's visibility shows them, which is a moment behind. A page may " +
    'have fewer entries than asked for, and still have a next one.',
  access,
  query: attentionQuery,
  answers: { 200: { description: 'One page.', body: z.object({ items: z.array(parkedWork), next }) } },
} as const satisfies Operation;

export const resolveBody = z.strictObject({
  action: z.enum(['retry', 'markDone']).describe('`retry`: once more, at once · `markDone`: a person has done it'),
  reason: plainText(LONGEST_REASON).describe("kept in the order's history"),
  workflowId: z
    .string()
    .max(LONGEST_WORKFLOW_ID)
    .regex(/^(checkout|repair|refund|webhook)-[\x21-\x7e]+$/, 'must be a `workflowId` of GET /v1/admin/attention')
    .optional()
    .describe("the order's checkout, or else its repair, or else its only parked refund or webhook when left out"),
});

export const resolveParked = {
  id: 'resolveParked',
  method: 'post',
  path: '/v1/admin/orders/{orderId}/resolve',
  tag,
  summary: 'Decides about the parked steps of an order',
  description: 'Acts on what is parked when it arrives: a repeat meets nothing, or another round of the same step.',
  access,
  params: z.object({ orderId: z.guid() }),
  body: resolveBody,
  answers: {
    200: {
      description: 'Whose steps went on, and which.',
      body: z.object({ workflowId: z.string(), steps: z.array(z.string()) }),
    },
  },
  refusals: ['NOTHING_PARKED'],
} as const satisfies Operation;

export const lettersQuery = z.strictObject({
  group: plainText(LONGEST_GROUP).optional().describe('of one group of consumers only'),
  cursor: databaseId.optional(),
  limit: pageSize,
  discarded: z
    .enum(['true', 'false'])
    .default('false')
    .describe('those that were given up, instead of those that wait for somebody'),
});

const letter = z.object({
  id: databaseId,
  group: z.string(),
  state: z
    .enum(['FAILED', 'WAITING', 'REDRIVEN', 'DISCARDED'])
    .describe('WAITING: never tried, it waits behind an earlier letter of its subject'),
  subject: z.string().describe('`aggregateType/aggregateId`'),
  eventId: z.string(),
  type: z.string(),
  aggregateVersion: z.int(),
  attempts: z.int(),
  error: z.string(),
  failedAt: instant,
  discarded: z.object({ at: instant, by: z.string(), reason: z.string() }).optional(),
});

export const listDeadLetters = {
  id: 'listDeadLetters',
  method: 'get',
  path: '/v1/admin/dead-letters',
  tag,
  summary: 'Events that a consumer could not handle, the oldest first',
  description: 'Without their data, which may be personal.',
  access,
  query: lettersQuery,
  answers: { 200: { description: 'One page.', body: z.object({ items: z.array(letter), next }) } },
} as const satisfies Operation;

const params = z.object({ id: databaseId });

export const redriveDeadLetter = {
  id: 'redriveDeadLetter',
  method: 'post',
  path: '/v1/admin/dead-letters/{id}/redrive',
  tag,
  summary: 'Lets the consumer try a dead letter again',
  description: 'With all others of its subject, because order is kept.',
  access,
  params,
  answers: {
    202: {
      description: 'The consumer is to try `letters` of them again.',
      body: z.object({ id: databaseId, group: z.string(), subject: z.string(), letters: z.int() }),
    },
  },
  refusals: ['ALREADY_REDRIVEN', 'ALREADY_DISCARDED'],
} as const satisfies Operation;

export const discardBody = z.strictObject({ reason: plainText(LONGEST_REASON) });

export const discardDeadLetter = {
  id: 'discardDeadLetter',
  method: 'post',
  path: '/v1/admin/dead-letters/{id}/discard',
  tag,
  summary: 'Gives an event up, for one group of consumers and for good',
  description: 'It stays as a record of who gave it up and why. What waits behind it goes to the consumer again.',
  access,
  params,
  body: discardBody,
  answers: {
    200: {
      description: 'It was given up, and `redriven` others go on.',
      body: z.object({ id: databaseId, group: z.string(), subject: z.string(), redriven: z.int() }),
    },
  },
  refusals: ['ALREADY_REDRIVEN', 'ALREADY_DISCARDED', 'NOT_TRIED'],
} as const satisfies Operation;
