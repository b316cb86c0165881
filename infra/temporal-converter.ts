import { randomBytes } from 'node:crypto';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

import type { DataConverter } from '@temporalio/common';

import { type Config, ConfigError } from './config.ts';
import { findSecret, keptSecret } from './kept-secret.ts';
import type { Logger } from './log.ts';
import { EncryptionCodec } from './payload-codec.ts';
import { KEY_BYTES, type PayloadKey } from './payload-keys.ts';

const DEVELOPMENT_KEY_ID = 'development';

/**
 * How payloads are written to Temporal and read from it. Whoever has keys reads what was encrypted, also where encryption
 * is off by now. In development a key is made at the first call, in `<DATA_DIR>/temporal/payload-key`.
 *
 * @param log told which key is missing when a payload cannot be decrypted
 * @throws ConfigError in production mode without TEMPORAL_PAYLOAD_KEYS, unless encryption was switched off
 */
export async function temporalConverter(config: Config, log?: Logger): Promise<DataConverter> {
  const { keys = await developmentKeys(config), encrypts } = config.payloads;
  const report = (reason: string): void => log?.error({ reason }, 'a payload in Temporal cannot be decrypted');
  const payloadCodecs = [new EncryptionCodec(keys, { encrypts, report })];
  return encrypts ? { payloadCodecs, failureConverterPath } : { payloadCodecs };
}

/** Of the same kind as this file: in a build it is compiled as well. */
const failureConverterPath = fileURLToPath(
  new URL(`../workflows/failure-converter.${import.meta.url.endsWith('.ts') ? 'ts' : 'js'}`, import.meta.url),
);

async function developmentKeys({ payloads: { encrypts }, mode, dataDir }: Config): Promise<readonly PayloadKey[]> {
  if (mode === 'production') {
    if (!encrypts) return [];
    throw new ConfigError(
      'TEMPORAL_PAYLOAD_KEYS is not set. Set it, for example TEMPORAL_PAYLOAD_KEYS="$(date +%Y-%m):$(openssl rand -base64 32)", to the same keys in every process, and keep them: without them nobody can read the histories. Or set TEMPORAL_PAYLOAD_ENCRYPTION=off.',
    );
  }
  const file = join(dataDir, 'temporal', 'payload-key');
  const make = () => Promise.resolve(randomBytes(KEY_BYTES).toString('base64'));
  // Where encryption was switched off again, what it had encrypted is read all the same.
  const secret = encrypts ? await keptSecret(file, make) : await findSecret(file);
  if (secret === undefined) return [];
  const key = { id: DEVELOPMENT_KEY_ID, secret: Buffer.from(secret, 'base64') };
  if (key.secret.length === KEY_BYTES) return [key];
  throw new ConfigError(
    `${file} holds no key of ${KEY_BYTES} bytes. Put it back; without it, \`npm start -- --reset\`.`,
  );
}
