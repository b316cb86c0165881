import { z } from 'zod';

import { databaseId, instant, money, plainText, viewLagMs } from './fields.ts';
import type { Operation } from './operation.ts';

const LONGEST_EMAIL = 255;

const fields = {
  username: plainText(50),
  /** In small letters, so that nobody has two accounts with one address. */
  email: z.string().trim().toLowerCase().pipe(z.email().max(LONGEST_EMAIL)),
  fullName: plainText(100),
  status: z.enum(['ACTIVE', 'INACTIVE', 'DELETED']),
};
export const newUserBody = z.strictObject({ ...fields, status: fields.status.default('ACTIVE') });
export const userChangeBody = z
  .strictObject(fields)
  .partial()
  .refine((changes) => Object.keys(changes).length > 0, 'must change something');

const shown = {
  userId: databaseId,
  username: z.string(),
  email: z.string(),
  fullName: z.string(),
  status: z.string().describe('ACTIVE, INACTIVE or DELETED'),
};
const user = z.object({ ...shown, version: z.int() });

export const createUser = {
  id: 'createUser',
  method: 'post',
  path: '/v1/users',
  tag: 'users',
  summary: 'Makes a user',
  access: ['admin'],
  headers: ['Idempotency-Key'],
  body: newUserBody,
  answers: {
    201: {
      description: 'The user; the same request gets the same answer again.',
      headers: ['ETag', 'Location', 'Idempotent-Replayed'],
      body: user,
    },
  },
  refusals: ['USERNAME_TAKEN', 'EMAIL_TAKEN'],
} as const satisfies Operation;

export const changeUser = {
  id: 'changeUser',
  method: 'patch',
  path: '/v1/users/{userId}',
  tag: 'users',
  summary: 'Changes a user',
  description: 'What is so already makes no new version. Nobody is deleted here, but marked as such.',
  access: ['admin'],
  params: z.object({ userId: databaseId }),
  headers: ['If-Match'],
  body: userChangeBody,
  answers: { 200: { description: 'The user as he is now.', headers: ['ETag'], body: user } },
  refusals: ['USERNAME_TAKEN', 'EMAIL_TAKEN'],
} as const satisfies Operation;

const profile = z.object({
  ...shown,
  lastOrderAt: instant.nullable(),
  totals: z
    .array(z.object({ orders: z.int(), spent: money }))
    .describe('of orders that are or were paid, by currency; refunds are taken off'),
});
export type ProfileBody = z.infer<typeof profile>;

export const getOwnUser = {
  id: 'getOwnUser',
  method: 'get',
  path: '/v1/users/me',
  tag: 'users',
  summary: 'Who asks, as the shop knows him',
  access: ['customer', 'admin'],
  headers: ['Read-After'],
  answers: {
    200: {
      description: 'The user whose token it is, and what he bought.',
      headers: ['Read-After-Applied'],
      body: profile.extend({ viewLagMs }),
    },
  },
  refusals: ['NOT_FOUND'],
} as const satisfies Operation;
