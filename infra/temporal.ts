import { Client, Connection, isGrpcServiceError, type OperatorService } from '@temporalio/client';
import type { DataConverter, SearchAttributeType } from '@temporalio/common';
import { loadClientConnectConfig } from '@temporalio/envconfig';
import proto from '@temporalio/proto';

import type { Logger } from './log.ts';
import { tracedClient } from './temporal-tracing.ts';

export type TemporalClient = Readonly<{ client: Client; connection: Connection; namespace: string }>;

type SearchAttribute = Readonly<{ name: string; type: SearchAttributeType }>;

const DEFAULT_NAMESPACE = 'default';

/** Address, TLS, API key and namespace from Temporal's standard environment and configuration file. */
export function temporalSettings() {
  const { connectionOptions, namespace } = loadClientConnectConfig();
  return { connectionOptions, namespace: namespace ?? DEFAULT_NAMESPACE };
}

/**
 * Connects lazily: an API that starts while Temporal is down serves what it can, and says so in `/readyz`.
 *
 * @param dataConverter of `temporalConverter`
 */
export function openTemporal(dataConverter: DataConverter): TemporalClient {
  const { connectionOptions, namespace } = temporalSettings();
  const connection = Connection.lazy(connectionOptions);
  const interceptors = { workflow: [tracedClient] };
  return { client: new Client({ connection, namespace, dataConverter, interceptors }), connection, namespace };
}

/**
 * Registers the search attributes that are missing. Repeat-safe. Where the server does not allow it (Temporal Cloud),
 * or does not tell which it has, they are named in the log with what to do, and false is returned.
 *
 * @throws GrpcServiceError when the server cannot be asked at all
 */
export async function ensureSearchAttributes(
  { connection, namespace }: Pick<TemporalClient, 'connection' | 'namespace'>,
  wanted: readonly SearchAttribute[],
  log: Logger,
): Promise<boolean> {
  const operator = connection.operatorService;
  const present = await presentAttributes(operator, namespace, log);
  if (present === undefined) {
    log.error(`make sure that this namespace has the search attributes ${inWords(wanted)}`);
    return false;
  }
  const missing = wanted.filter(({ name }) => !present.has(name));
  if (missing.length === 0) return true;
  try {
    const searchAttributes = Object.fromEntries(missing.map(({ name, type }) => [name, INDEXED_TYPE[type]]));
    await operator.addSearchAttributes({ namespace, searchAttributes });
    return true;
  } catch (error) {
    if (!isGrpcServiceError(error)) throw error;
    const names = inWords(missing);
    log.error({ err: error }, `this server does not let us add search attributes; add them by hand: ${names}`);
    return false;
  }
}

/** Names of those that the namespace has; undefined when the server does not let us look. */
async function presentAttributes(
  operator: OperatorService,
  namespace: string,
  log: Logger,
): Promise<ReadonlySet<string> | undefined> {
  try {
    const { customAttributes } = await operator.listSearchAttributes({ namespace });
    return new Set(Object.keys(customAttributes ?? {}));
  } catch (error) {
    if (!isGrpcServiceError(error) || !NOT_OURS_TO_ASK.includes(error.code)) throw error;
    log.error({ err: error }, 'this server does not let us list its search attributes');
    return undefined;
  }
}

/** gRPC's UNIMPLEMENTED and PERMISSION_DENIED. */
const NOT_OURS_TO_ASK: readonly number[] = [12, 7];

const inWords = (attributes: readonly SearchAttribute[]): string =>
  attributes.map(({ name, type }) => `${name} (${type})`).join(', ');

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
