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

export const getOpenApi = {
  id: 'getOpenApi',
  method: 'get',
  path: '/openapi.json',
  tag: 'system',
  summary: 'This document',
  access: 'public',
  headers: ['If-None-Match'],
  answers: {
    200: { description: 'OpenAPI 3.1.', headers: ['ETag'], body: z.looseObject({ openapi: z.string() }) },
    304: { description: 'The caller has it.', headers: ['ETag'] },
  },
} as const satisfies Operation;

export const showDocs = {
  id: 'showDocs',
  method: 'get',
  path: '/docs',
  tag: 'system',
  summary: 'A page to read this document and to try the API out',
  access: 'public',
  answers: { 200: { description: 'Swagger UI, from this process alone.', mediaType: 'text/html' } },
} as const satisfies Operation;

export const DOCS_ASSETS = ['swagger-ui.css', 'swagger-ui-bundle.js', 'initializer.js', 'favicon-32x32.png'] as const;

export const getDocsAsset = {
  id: 'getDocsAsset',
  method: 'get',
  path: '/docs/{asset}',
  tag: 'system',
  summary: 'What the page is made of',
  access: 'public',
  params: z.object({ asset: z.enum(DOCS_ASSETS) }),
  answers: {
    200: { description: 'The file.', mediaType: '*/*' },
    304: { description: 'The caller has it.' },
  },
} as const satisfies Operation;
