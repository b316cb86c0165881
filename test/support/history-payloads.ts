import type { Payload } from '@temporalio/common';

import type { History } from '../../infra/temporal-history.ts';
import { payloadsIn } from '../../infra/temporal-payloads.ts';

const textOf = ({ metadata }: Payload, name: string): string | undefined => {
  const value = metadata?.[name];
  return value && Buffer.from(value).toString();
};

/** Ids of the keys that encrypted anything in a history, each once. */
export const keyIdsIn = (history: History): string[] =>
  [...new Set(payloadsIn(history).flatMap(({ payload }) => textOf(payload, 'encryption-key-id') ?? []))].sort();

/** Where a history has payloads that are not encrypted, and what is in them. */
export const clearIn = (history: History): { path: string; text: string }[] =>
  payloadsIn(history)
    .filter(({ payload }) => textOf(payload, 'encoding') !== 'binary/encrypted')
    .map(({ path, payload }) => ({ path, text: Buffer.from(payload.data ?? []).toString() }));
