import { z } from 'zod';

import { instant } from './fields.ts';
import type { Operation } from './operation.ts';

/** Seconds. */
const OLDEST = 3_600;

export const auditQuery = z.strictObject({
  maxAge: z.coerce
    .number<number | string>()
    .int()
    .min(0)
    .max(OLDEST)
    .default(10)
    .describe('seconds: a verdict that is no older will do'),
});

const finding = z.object({
  invariant: z.int(),
  row: z.string(),
  orderId: z.string().nullable(),
  is: z.string(),
  shouldBe: z.string(),
});

const verdict = z
  .object({
    verdict: z
      .enum(['CLEAN', 'BROKEN', 'INCOMPLETE'])
      .describe('INCOMPLETE: nothing was found to be broken, but not everything was looked at'),
    startedAt: instant,
    finishedAt: instant,
    invariants: z
      .array(
        z.object({
          id: z.int(),
          states: z.string(),
          looked: z.int().describe('rows that were looked at'),
          findings: z.int(),
          leftOut: z.string().optional().describe('why it was not looked at'),
        }),
      )
      .describe('every one, as `npm run audit` numbers them'),
    found: z.object({ findings: z.int(), inProgress: z.int(), unknown: z.int() }).describe('how many there are'),
    findings: z.array(finding).describe('rows that break an invariant; the first 100'),
    inProgress: z
      .array(finding.extend({ workflows: z.array(z.string()) }))
      .describe('rows that something which runs may still put right; the first 100'),
    unknown: z.array(finding).describe('rows of which nobody could say whether they are broken; the first 100'),
    overfull: z.array(z.int()).describe('invariants with more suspects than could be kept'),
    notes: z.array(z.string()).describe('what was left out of an invariant that was looked at, and why'),
  })
  .meta({ id: 'AuditVerdict' });
export type VerdictBody = z.infer<typeof verdict>;

export const auditShop = {
  id: 'auditShop',
  method: 'get',
  path: '/v1/admin/audit',
  tag: 'operations',
  summary: 'Whether the invariants hold in the databases as they are',
  description:
    'What `npm run audit` does, as far as an API process can: without the key of a payment provider it has no look at its ' +
    "books, and without Kafka's settings none at its topics; the answer names what is left out. A process runs one audit " +
    'at a time, and whoever asks meanwhile waits for the same one.',
  access: ['admin'],
  query: auditQuery,
  answers: {
    200: { description: 'What was found.', body: verdict },
    202: {
      description: 'It takes longer than an answer may: it goes on, and whoever asks again gets its verdict.',
      headers: ['Retry-After'],
      body: z.object({
        startedAt: instant,
        last: verdict.nullable().describe('of the audit before, in this process'),
      }),
    },
  },
} as const satisfies Operation;
