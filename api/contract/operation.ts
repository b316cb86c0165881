import type { z } from 'zod';

import type { ErrorCode } from '../../domain/errors.ts';
import type { Role } from '../../domain/roles.ts';

/**
 * `probe`: nothing about who asks is looked at, nor how often · `signature`: no token; whoever sends has signed the bytes of
 * the body · `public`: a token is not needed, but one that is sent must be good. Otherwise a bearer token of one of the roles.
 */
export type Access = 'probe' | 'public' | 'signature' | readonly [Role, ...Role[]];

/** Headers that some operations read; every request may carry `X-Request-Id` besides. */
export type RequestHeader =
  'Idempotency-Key' | 'If-Match' | 'If-None-Match' | 'Last-Event-ID' | 'Prefer' | 'Read-After';
/** Headers that some answers carry; every answer has `X-Request-Id` besides. */
export type AnswerHeader =
  | 'ETag'
  | 'Idempotent-Replayed'
  | 'Location'
  | 'Preference-Applied'
  | 'Read-After'
  | 'Read-After-Applied'
  | 'Retry-After'
  | 'Set-Cookie';

export type Answer = Readonly<{
  description: string;
  /** Of JSON; an answer without one has no body, or one of another type. */
  body?: z.ZodType;
  /** Of a body that is not JSON, such as `text/event-stream`. */
  mediaType?: string;
  headers?: readonly AnswerHeader[];
}>;

/**
 * One operation of the API, declared once: the routes check access, parameters and bodies by it, the OpenAPI document and
 * the client are made of it. `path` is written as OpenAPI writes it: `/v1/orders/{orderId}`.
 */
export type Operation = Readonly<{
  /** `operationId`: a verb and what it is done to, such as `placeCheckout`. */
  id: string;
  method: 'get' | 'post' | 'patch';
  path: string;
  tag: Tag;
  summary: string;
  description?: string;
  access: Access;
  /** Of pages of allowed origins: a cookie of this name may hold the token. */
  cookie?: string;
  params?: z.ZodObject;
  query?: z.ZodType;
  headers?: readonly RequestHeader[];
  /** Of JSON, at most 64 KiB unless `largestBodyBytes` says otherwise. */
  body?: z.ZodType;
  largestBodyBytes?: number;
  /** By HTTP status: what is answered when nothing is refused. */
  answers: Readonly<Record<number, Answer>>;
  /** What only this operation refuses. What follows from the rest of the declaration is in `refusalsOf`. */
  refusals?: readonly ErrorCode[];
}>;

export const TAGS = ['checkout', 'orders', 'catalogue', 'users', 'inventory', 'sales', 'operations', 'system'] as const;
export type Tag = (typeof TAGS)[number];

/** Refused before an operation is found: with the connection, or by the path alone. */
export const OUTSIDE_OPERATIONS: readonly ErrorCode[] = ['HEADERS_TOO_LARGE', 'METHOD_NOT_ALLOWED', 'REQUEST_TIMEOUT'];

/** Everything that an operation may refuse, each code once. */
export function refusalsOf({ access, headers = [], body, params, query, refusals = [] }: Operation): ErrorCode[] {
  if (access === 'probe') return ['INTERNAL_ERROR', ...refusals];
  const codes: ErrorCode[] = ['MALFORMED_REQUEST', 'TOO_MANY_REQUESTS', 'INTERNAL_ERROR', 'TEMPORARILY_UNAVAILABLE'];
  if (access !== 'signature') codes.push('UNAUTHENTICATED'); // a token that is not good is refused on public routes too
  if (Array.isArray(access)) codes.push('FORBIDDEN');
  if (headers.includes('Idempotency-Key')) codes.push('IDEMPOTENCY_KEY_MISSING', 'IDEMPOTENCY_KEY_REUSED');
  if (headers.includes('If-Match')) codes.push('VERSION_MISMATCH');
  if (body !== undefined) codes.push('PAYLOAD_TOO_LARGE');
  if (body !== undefined && access !== 'signature') codes.push('UNSUPPORTED_MEDIA_TYPE', 'INVALID_REQUEST');
  if (query !== undefined) codes.push('INVALID_REQUEST');
  if (params !== undefined) codes.push('NOT_FOUND');
  return [...new Set([...codes, ...refusals])];
}
