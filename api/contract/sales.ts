import { z } from 'zod';

import { FIRST_DAY } from '../../domain/daily-sales.ts';
import { currencyCode, money, viewLagMs } from './fields.ts';
import type { Operation } from './operation.ts';

const day = z.iso
  .date('must be a day such as 2026-11-22')
  .refine((day) => day >= FIRST_DAY, `must not be before ${FIRST_DAY}`);

export const salesQuery = z.strictObject({
  from: day.optional().describe('29 days before `to` when left out; at most 366 days in all'),
  to: day.optional().describe('today, in the time zone of the shop, when left out'),
  currency: currencyCode.optional(),
});

export const listDailySales = {
  id: 'listDailySales',
  method: 'get',
  path: '/v1/sales/daily',
  tag: 'sales',
  summary: 'What was sold and given back, by day and currency',
  access: ['admin'],
  query: salesQuery,
  headers: ['Read-After'],
  answers: {
    200: {
      description: 'The days on which anything was sold or given back, the first one first.',
      headers: ['Read-After-Applied'],
      body: z.object({
        days: z.array(
          z.object({
            day: z.iso.date(),
            currency: currencyCode,
            orders: z.int(),
            customers: z.int(),
            items: z.int(),
            gross: money,
            refunds: money,
            net: money,
          }),
        ),
        viewLagMs,
      }),
    },
  },
} as const satisfies Operation;
