import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { ConfigError, readConfig } from '../../infra/config.ts';
import { payloadEnvironment } from '../../infra/payload-keys.ts';
import { temporalConverter } from '../../infra/temporal-converter.ts';

const keyOf = (id: string): string => `${id}:${randomBytes(32).toString('base64')}`;
const PAYLOAD = { metadata: { encoding: Buffer.from('json/plain') }, data: Buffer.from('1') };

describe('the keys of payloads', () => {
  it('are needed in production mode, unless encryption is switched off', async () => {
    await assert.rejects(temporalConverter(readConfig({ NODE_ENV: 'production' })), (error) => {
      assert.ok(error instanceof ConfigError);
      assert.match(error.message, /^TEMPORAL_PAYLOAD_KEYS is not set\. Set it, for example .*openssl rand -base64 32/);
      return true;
    });
    await temporalConverter(readConfig({ NODE_ENV: 'production', TEMPORAL_PAYLOAD_ENCRYPTION: 'off' }));
    await temporalConverter(readConfig({ NODE_ENV: 'production', TEMPORAL_PAYLOAD_KEYS: keyOf('one') }));
  });

  it('are refused when they are none, without a word of the secret', () => {
    const [twice, short] = [`${keyOf('one')},${keyOf('one')}`, 'one:c2VjcmV0'];
    for (const wrong of [twice, short, 'c2VjcmV0', `${keyOf('one')},`, keyOf('a b')]) {
      assert.throws(() => readConfig({ TEMPORAL_PAYLOAD_KEYS: wrong }), {
        message:
          /TEMPORAL_PAYLOAD_KEYS: (must be id:base64 of 32 bytes, several with commas between|has two keys of one id)$/,
      });
    }
  });

  it('are handed on to the processes that we start as they are', () => {
    const { payloads } = readConfig({
      TEMPORAL_PAYLOAD_KEYS: `${keyOf('new')}, ${keyOf('old')}`,
      TEMPORAL_PAYLOAD_ENCRYPTION: 'on',
    });
    assert.deepEqual(readConfig(payloadEnvironment(payloads)).payloads, payloads);
  });

  it('are made in development, and read what they encrypted when encryption is off again', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'commerce-saga-keys-'));
    try {
      const codecOf = async (on: 'on' | 'off') => {
        const config = readConfig({ DATA_DIR: folder, TEMPORAL_PAYLOAD_ENCRYPTION: on });
        const { payloadCodecs } = await temporalConverter(config);
        return payloadCodecs?.[0] ?? assert.fail('no codec');
      };
      const encrypted = await (await codecOf('on')).encode([PAYLOAD]);
      const off = await codecOf('off');
      const [back] = await off.decode(encrypted);
      assert.deepEqual(Buffer.from(back?.data ?? []), PAYLOAD.data);
      assert.deepEqual(await off.encode([PAYLOAD]), [PAYLOAD]);
    } finally {
      await rm(folder, { recursive: true });
    }
  });
});
