import { createHash } from 'node:crypto';

import pLimit from 'p-limit';
import { z } from 'zod';

import { attentionQuery, listAttention, type ParkedWorkBody } from './contract/admin.ts';
import type { ApiDeps } from './deps.ts';
import { ASKED_AT_ONCE, askParked, listParked, type ParkedWork } from './parked.ts';
import { type LinkOptions, linksOf, workflowLink } from './present.ts';
import { parsed } from './requests.ts';
import { type Route, route } from './routes.ts';

/** For the list and for all its workflows together, milliseconds. */
const ANSWER_LIMIT_MS = 8_000;
const LIST_LIMIT_MS = 4_000;
const CHECKSUM_BYTES = 6;

const query = attentionQuery.extend({ cursor: attentionQuery.shape.cursor.unwrap().transform(tokenIn).optional() });

/** What waits for a person: checkouts, refunds, webhooks and repairs with a parked step, and what each is parked on. */
export function attentionRoutes({ temporal, links }: ApiDeps): readonly Route[] {
  return [
    route(listAttention, async (req, res) => {
      const { cursor, limit } = parsed(query, req.query);
      const until = Date.now() + ANSWER_LIMIT_MS;
      const { items, next } = await listParked(temporal, {
        limit,
        token: cursor ?? null,
        deadline: Date.now() + LIST_LIMIT_MS,
      });

      const atMost = pLimit(ASKED_AT_ONCE);
      const asked = await Promise.all(items.map((listed) => atMost(() => askParked(temporal, listed, until))));
      const shown = asked.filter((work) => work !== undefined).map((work) => present(work, links));
      res.set('Cache-Control', 'no-store').json({ items: shown, next: next === null ? null : cursorOf(next) });
    }),
  ];
}

const present = ({ parked, ...work }: ParkedWork, links: LinkOptions): ParkedWorkBody => ({
  ...work,
  parked: parked && [...parked],
  links: {
    ...(work.orderId !== null && { order: linksOf(work.orderId, links).self }),
    ...workflowLink(work.workflowId, links),
  },
});

/** Temporal's page token with a checksum: to one that it did not give, Temporal answers as if it were down. */
const cursorOf = (token: Buffer): string => Buffer.concat([checksumOf(token), token]).toString('base64url');

function tokenIn(cursor: string, context: z.RefinementCtx): Buffer {
  const bytes = Buffer.from(cursor, 'base64url');
  const token = bytes.subarray(CHECKSUM_BYTES);
  if (checksumOf(token).equals(bytes.subarray(0, CHECKSUM_BYTES))) return token;
  context.addIssue({ code: 'custom', message: 'must be a `next` of an earlier answer' });
  return z.NEVER;
}

const checksumOf = (token: Buffer): Buffer => createHash('sha256').update(token).digest().subarray(0, CHECKSUM_BYTES);
