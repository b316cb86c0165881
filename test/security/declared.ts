import assert from 'node:assert/strict';

import { Ajv2020, type ValidateFunction } from 'ajv/dist/2020.js';
import { z } from 'zod';

import { problem } from '../../api/contract/errors.ts';
import { type Operation, refusalsOf } from '../../api/contract/operation.ts';
import { type ErrorCode, httpStatusOf, isErrorCode } from '../../domain/errors.ts';
import type { Reply } from './http.ts';
import { bodyOf } from './world.ts';

const ajv = new Ajv2020({ strict: false, validateFormats: false, allErrors: true });
const checks = new Map<z.ZodType, ValidateFunction>();

/**
 * The reply is one that the operation declares: an answer of it with its fields and no other, or a refusal that it names.
 * Anything of ours breaking (5xx) is none.
 *
 * @param also codes that a request may meet which does not even reach the operation
 */
export function assertDeclared(
  operation: Operation,
  reply: Reply,
  what: string,
  also: readonly ErrorCode[] = [],
): void {
  const said = `${operation.id}, ${what}: ${reply.status} ${reply.text.slice(0, 500)}`;
  assert.ok(reply.status < 500, said);
  const answer = operation.answers[reply.status];
  if (answer === undefined) return assertRefusal(reply, [...refusalsOf(operation), ...also], said);
  const type = String(reply.headers['content-type']);
  if (answer.body !== undefined) {
    assert.match(type, /^application\/json/, said);
    assertFits(answer.body, bodyOf(reply), said);
  } else if (answer.mediaType === '*/*') assert.notEqual(reply.text, '', said);
  else if (answer.mediaType !== undefined) assert.ok(type.startsWith(answer.mediaType), said);
  else assert.equal(reply.text, '', said);
}

/** The reply is a problem (RFC 9457) with one of the codes and that code's status, and says nothing about our insides. */
export function assertRefusal(reply: Reply, codes: readonly ErrorCode[], said: string): void {
  assert.match(String(reply.headers['content-type']), /^application\/problem\+json/, said);
  const body = bodyOf(reply) as Readonly<Record<string, unknown>>;
  assertFits(problem, body, said);
  const { code, status } = body;
  assert.ok(isErrorCode(code) && codes.includes(code), `${said}: this code is not declared`);
  assert.deepEqual([status, reply.status], [httpStatusOf(code), httpStatusOf(code)], said);
  assert.doesNotMatch(reply.text, /node_modules|\.[jt]s:\d+|\bat [\w.]+ \(|prisma|select .* from/i, said);
}

/** What a schema of answers describes, and no field more. */
function assertFits(schema: z.ZodType, value: unknown, said: string): void {
  const check = checks.get(schema) ?? ajv.compile(z.toJSONSchema(schema, { io: 'output', unrepresentable: 'any' }));
  checks.set(schema, check);
  assert.ok(check(value), `${said}: ${ajv.errorsText(check.errors)}`);
}
