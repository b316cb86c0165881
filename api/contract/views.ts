import { z } from 'zod';

import { instant, temporalLink } from './fields.ts';
import type { Operation } from './operation.ts';

const access = ['admin'] as const;
const tag = 'operations' as const;

export const viewName = z.enum(['users', 'products', 'orders', 'payments', 'sales']);
const params = z.object({ name: viewName });

const view = z.object({
  name: viewName,
  lagMs: z.int().nullable().describe('no event that the view lacks is older; null: it was never up to date'),
  rebuiltAt: instant.nullable(),
  rebuild: z
    .object({
      startedAt: instant,
      source: z.enum(['log', 'outboxes', 'files']).describe('where the past is read'),
      applied: z.int().describe('events of the past'),
      done: z.number().describe('of the past, from 0 to 1'),
      running: z.boolean().describe('false: it was cut off, and goes on when it is asked for again'),
    })
    .nullable(),
});
export type ViewBody = z.infer<typeof view>;

export const listViews = {
  id: 'listViews',
  method: 'get',
  path: '/v1/admin/views',
  tag,
  summary: 'How far behind each view is',
  access,
  answers: { 200: { description: 'Every view.', body: z.object({ items: z.array(view) }) } },
} as const satisfies Operation;

export const getView = {
  id: 'getView',
  method: 'get',
  path: '/v1/admin/views/{name}',
  tag,
  summary: 'How far behind one view is',
  access,
  params,
  answers: { 200: { description: 'The view.', body: view } },
} as const satisfies Operation;

export const rebuildView = {
  id: 'rebuildView',
  method: 'post',
  path: '/v1/admin/views/{name}/rebuild',
  tag,
  summary: 'Builds a view anew from the events',
  description: 'Beside the view that is read meanwhile. Asked for twice it is one rebuild.',
  access,
  params,
  answers: {
    202: {
      description: 'It was asked for; the location tells how far it is.',
      headers: ['Location'],
      body: z.object({
        view: viewName,
        workflowId: z.string(),
        links: z.object({ self: z.string(), temporal: temporalLink }),
      }),
    },
  },
} as const satisfies Operation;
