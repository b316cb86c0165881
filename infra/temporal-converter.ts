import { randomBytes } from 'node:crypto';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

import type { DataConverter } from '@temporalio/common';

import { type Config, ConfigError } from './config.ts';
import { keptSecret } from './kept-secret.ts';
import { EncryptionCodec } from './payload-codec.ts';
import { KEY_BYTES, type KeyRing } from './payload-keys.ts';

const DEVELOPMENT_KEY_ID = 'development';

/**
 * How payloads are written to Temporal and read from it. Whoever has keys reads what was encrypted, also where encryption
 * is off by now. In development a key is made at the first call, in `<DATA_DIR>/temporal/payload-key`.
 *
 * @throws ConfigError in production mode without TEMPORAL_PAYLOAD_KEYS, unless encryption was switched off
 */
export async function temporalConverter(config: Config): Promise<DataConverter> {
  const { keys = await developmentKeys(config), encrypts } = config.payloads;
  if (keys === undefined) return {};
  const payloadCodecs = [new EncryptionCodec(keys, { encrypts })];
  return encrypts ? { payloadCodecs, failureConverterPath } : { payloadCodecs };
}

/** Of the same kind as this file: in a build it is compiled as well. */
const failureConverterPath = fileURLToPath(
  new URL(`../workflows/failure-converter.${import.meta.url.endsWith('.ts') ? 'ts' : 'js'}`, import.meta.url),
);

async function developmentKeys({ payloads, mode, dataDir }: Config): Promise<KeyRing | undefined> {
  if (!payloads.encrypts) return undefined;
  if (mode === 'production') {
    throw new ConfigError(
      'TEMPORAL_PAYLOAD_KEYS is not set. Set it, for example TEMPORAL_PAYLOAD_KEYS="$(date +%Y-%m):$(openssl rand -base64 32)", to the same keys in every process, and keep them: without them nobody can read the histories. Or set TEMPORAL_PAYLOAD_ENCRYPTION=off.',
    );
  }
  const make = () => Promise.resolve(randomBytes(KEY_BYTES).toString('base64'));
  const secret = await keptSecret(join(dataDir, 'temporal', 'payload-key'), make);
  return [{ id: DEVELOPMENT_KEY_ID, secret: Buffer.from(secret, 'base64') }];
}
