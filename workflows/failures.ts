import type { ActivityFailure } from '@temporalio/workflow';
import { ApplicationFailure } from '@temporalio/workflow';

import { isErrorCode, type Refusal } from '../domain/errors.ts';

/** The refusal that an activity gave, or undefined for an outage. Codes cross Temporal, error classes do not. */
export function refusalIn(error: ActivityFailure): Refusal | undefined {
  const { cause } = error;
  if (!(cause instanceof ApplicationFailure) || !isErrorCode(cause.type)) return undefined;
  const [detail] = cause.details ?? [];
  return { code: cause.type, message: cause.message, ...(detail != null && { detail }) };
}

/** What a person is told about a failed round: codes and driver messages, never payloads. */
export function reasonOf(error: ActivityFailure): string {
  const refusal = refusalIn(error);
  if (refusal !== undefined) return `${refusal.code}: ${refusal.message}`;
  return error.cause?.message ?? error.message;
}
