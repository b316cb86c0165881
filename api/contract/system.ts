import { z } from 'zod';

import type { Operation } from './operation.ts';

export const getHealth = {
  id: 'getHealth',
  method: 'get',
  path: '/healthz',
  tag: 'system',
  summary: 'Whether this process answers',
  access: 'probe',
  answers: { 200: { description: 'It does.', body: z.object({ status: z.literal('ok') }) } },
} as const satisfies Operation;

const state = z.enum(['up', 'down']);
const readiness = <T extends 'ready' | 'not ready'>(status: T) =>
  z.object({
    status: z.literal(status),
    dependencies: z.object({
      platformDatabase: state,
      orderDatabase: state,
      paymentDatabase: state,
      viewsDatabase: state,
      temporal: state,
    }),
  });

export const getReadiness = {
  id: 'getReadiness',
  method: 'get',
  path: '/readyz',
  tag: 'system',
  summary: 'Whether everything answers that this process needs, each by name',
  access: 'probe',
  answers: {
    200: { description: 'All of it.', body: readiness('ready') },
    503: { description: 'Something does not.', body: readiness('not ready') },
  },
} as const satisfies Operation;
