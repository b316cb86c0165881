import type { z } from 'zod';

import type { ErrorCode } from '../../domain/errors.ts';
import type { problem } from './errors.ts';
import type { Operation, RequestHeader } from './operation.ts';

type Optional<Name extends string, T> = Record<never, never> extends T ? { [N in Name]?: T } : { [N in Name]: T };

type PartOf<O, Name extends 'params' | 'query' | 'body'> =
  O extends Readonly<Record<Name, infer S extends z.ZodType>>
    ? Optional<Name, z.input<S>>
    : { [N in Name]?: undefined };

type Headers<O> = O extends { headers: readonly (infer H extends RequestHeader)[] }
  ? { [N in Exclude<H, 'Idempotency-Key'>]?: string } & ('Idempotency-Key' extends H
      ? { 'Idempotency-Key': string }
      : unknown)
  : Record<never, never>;

/** What an operation is asked with. Where it declares no part, none may be given. */
export type RequestOf<O extends Operation> = Readonly<
  PartOf<O, 'params'> & PartOf<O, 'query'> & PartOf<O, 'body'> & Optional<'headers', Headers<O>>
> &
  Readonly<{ signal?: AbortSignal }>;

type Answers<O extends Operation> = {
  [S in keyof O['answers'] & number]: Readonly<{
    status: S;
    body: O['answers'][S] extends { body: infer B extends z.ZodType } ? z.output<B> : undefined;
    headers: globalThis.Headers;
    problem?: undefined;
  }>;
}[keyof O['answers'] & number];

/** A code that a later release has added is no error of a client. */
type Code = ErrorCode | (string & Record<never, never>);
export type Problem = Omit<z.output<typeof problem>, 'code'> & { code: Code };

/** The shop said no, or not now: `problem.code` tells. */
export type Refused = Readonly<{ status: number; problem: Problem; headers: globalThis.Headers; body?: undefined }>;

/** One of the declared answers, or a refusal. `problem` tells them apart, `status` the answers. */
export type AnswerOf<O extends Operation> = Answers<O> | Refused;
