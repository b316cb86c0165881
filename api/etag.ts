import { createHash } from 'node:crypto';

import type { Request, Response } from 'express';

/** A weak tag of what a body says, whatever `viewLagMs` beside it. */
export const weakTagOf = (body: unknown): string =>
  `W/"${createHash('sha256').update(JSON.stringify(body)).digest('base64url').slice(0, 22)}"`;

/** Answers 304 to whoever has this version already, else the body. */
export function sendTagged(req: Request, res: Response, etag: string, body: object): void {
  res.set('ETag', etag);
  if (names(req.get('if-none-match'), etag)) res.status(304).end();
  else res.json(body);
}

/**
 * Whether If-None-Match names this version (RFC 9110, 13.1.2). Express's own check gives way to `Cache-Control:
 * no-cache`, which every `fetch` with this header sends along.
 */
const names = (header: string | undefined, etag: string): boolean =>
  (header ?? '').split(',').some((tag) => tag.trim() === '*' || opaque(tag.trim()) === opaque(etag));

const opaque = (tag: string): string => tag.replace(/^W\//, '');
