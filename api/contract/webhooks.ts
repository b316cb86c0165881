import { z } from 'zod';

import type { Operation } from './operation.ts';

export const receiveWebhook = {
  id: 'receiveWebhook',
  method: 'post',
  path: '/v1/payment-webhooks/{provider}',
  tag: 'checkout',
  summary: "Takes a payment provider's event",
  description:
    'The signature is that of the provider, over the bytes of the body. An event is answered 204 when it is stored; its ' +
    'repeats are stored once. Whoever gets another answer sends it again.',
  access: 'signature',
  params: z.object({ provider: z.string() }),
  body: z.looseObject({}).describe("As the provider's own documents describe it"),
  answers: { 204: { description: 'It is stored, or nobody here needs it.' } },
  refusals: ['UNSUPPORTED_MEDIA_TYPE', 'WEBHOOK_REJECTED'],
} as const satisfies Operation;
