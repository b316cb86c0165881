import { Client, Connection, isGrpcServiceError } from '@temporalio/client';
import type { SearchAttributeType } from '@temporalio/common';
import { loadClientConnectConfig } from '@temporalio/envconfig';
import proto from '@temporalio/proto';

import type { Logger } from './log.ts';

export type TemporalClient = Readonly<{ client: Client; connection: Connection; namespace: string }>;

const DEFAULT_NAMESPACE = 'default';

/** Address, TLS, API key and namespace from Temporal's standard environment and configuration file. */
export function temporalSettings() {
  const { connectionOptions, namespace } = loadClientConnectConfig();
  return { connectionOptions, namespace: namespace ?? DEFAULT_NAMESPACE };
}

/** Connects lazily: an API that starts while Temporal is down serves what it can, and says so in `/readyz`. */
export function openTemporal(): TemporalClient {
  const { connectionOptions, namespace } = temporalSettings();
  const connection = Connection.lazy(connectionOptions);
  return { client: new Client({ connection, namespace }), connection, namespace };
}

/**
 * Registers the search attributes that are missing. Repeat-safe. Where the server does not allow it (Temporal Cloud),
 * the missing ones are named in the log with what to do, and false is returned.
 */
export async function ensureSearchAttributes(
  { connection, namespace }: Pick<TemporalClient, 'connection' | 'namespace'>,
  wanted: readonly Readonly<{ name: string; type: SearchAttributeType }>[],
  log: Logger,
): Promise<boolean> {
  const operator = connection.operatorService;
  const { customAttributes } = await operator.listSearchAttributes({ namespace });
  const missing = wanted.filter(({ name }) => customAttributes?.[name] === undefined);
  if (missing.length === 0) return true;
  try {
    const searchAttributes = Object.fromEntries(missing.map(({ name, type }) => [name, INDEXED_TYPE[type]]));
    await operator.addSearchAttributes({ namespace, searchAttributes });
    return true;
  } catch (error) {
    if (!isGrpcServiceError(error)) throw error;
    const names = missing.map(({ name, type }) => `${name} (${type})`).join(', ');
    log.error({ err: error }, `this server does not let us add search attributes; add them by hand: ${names}`);
    return false;
  }
}

const { IndexedValueType } = proto.temporal.api.enums.v1; // a CommonJS package: Node sees its default export alone
const INDEXED_TYPE = {
  TEXT: IndexedValueType.INDEXED_VALUE_TYPE_TEXT,
  KEYWORD: IndexedValueType.INDEXED_VALUE_TYPE_KEYWORD,
  INT: IndexedValueType.INDEXED_VALUE_TYPE_INT,
  DOUBLE: IndexedValueType.INDEXED_VALUE_TYPE_DOUBLE,
  BOOL: IndexedValueType.INDEXED_VALUE_TYPE_BOOL,
  DATETIME: IndexedValueType.INDEXED_VALUE_TYPE_DATETIME,
  KEYWORD_LIST: IndexedValueType.INDEXED_VALUE_TYPE_KEYWORD_LIST,
} as const satisfies Record<SearchAttributeType, number>;
