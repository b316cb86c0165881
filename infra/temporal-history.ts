import { createRequire } from 'node:module';

import proto from '@temporalio/proto';
import { patchProtobufRoot } from '@temporalio/proto/lib/patch-protobuf-root.js';

export type History = proto.temporal.api.history.v1.IHistory;

/** The part of protobufjs 8 that turns messages into proto JSON and back. */
type ProtoJson = Readonly<{
  fromJson: (type: unknown, json: unknown, options: Readonly<{ ignoreUnknownFields: boolean }>) => History | null;
  toJson: (type: unknown, message: unknown) => unknown;
}>;

/**
 * The SDK's own `historyToJSON` and `historyFromJSON` (1.24.0) fail with "type must be a Type" where npm installs
 * protobufjs once for `@temporalio/common` and once for `@temporalio/proto`, as it does here: the gRPC client needs an
 * older one. So the copy is taken that made the types.
 */
const protoPackage = createRequire(import.meta.url).resolve('@temporalio/proto');
const { fromJson, toJson } = createRequire(protoPackage)('protobufjs/ext/protojson') as ProtoJson;
const root = patchProtobufRoot({ ...proto }) as unknown as Readonly<{ lookupType: (name: string) => unknown }>;
const historyType = root.lookupType('temporal.api.history.v1.History');

/**
 * Reads what `temporal workflow show --output json` prints.
 *
 * @throws TypeError for anything else
 */
export function historyFromJson(json: unknown): History {
  if (typeof json !== 'object' || json === null || !('events' in json) || !Array.isArray(json.events)) {
    throw new TypeError('this is no history: it has no list of events');
  }
  // A history of a newer server may have fields that we do not know; they take no part in replaying.
  const history = fromJson(historyType, json, { ignoreUnknownFields: true });
  if (history === null) throw new TypeError('this is no history');
  return history;
}

/** The same as `temporal workflow show --output json` prints, as a plain object. */
export const historyToJson = (history: History): unknown =>
  toJson(historyType, proto.temporal.api.history.v1.History.fromObject(history));
