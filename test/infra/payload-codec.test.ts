import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';

import type { Payload } from '@temporalio/common';
import fc from 'fast-check';

import { EncryptionCodec, UndecryptablePayload } from '../../infra/payload-codec.ts';
import type { PayloadKey } from '../../infra/payload-keys.ts';

const keyOf = (id: string): PayloadKey => ({ id, secret: randomBytes(32) });
const payloadOf = (text: string): Payload => ({
  metadata: { encoding: Buffer.from('json/plain') },
  data: Buffer.from(text),
});
const plain = ({ metadata, data }: Payload) => ({
  metadata: Object.fromEntries(
    Object.entries(metadata ?? {}).map(([name, value]) => [name, Buffer.from(value).toString()]),
  ),
  data: Buffer.from(data ?? []).toString('base64'),
});
const only = ([payload]: Payload[]): Payload => payload ?? assert.fail('no payload');

describe('the encryption of payloads', () => {
  const OLD = keyOf('2026-05');
  const NEW = keyOf('2026-11');
  const codec = new EncryptionCodec([NEW, OLD]);

  it('gives back whatever it was given, in its order', async () => {
    const payload = fc.record({
      metadata: fc.dictionary(fc.string({ minLength: 1 }), fc.uint8Array(), { noNullPrototype: true }),
      data: fc.uint8Array({ maxLength: 4_096 }),
    });
    await fc.assert(
      fc.asyncProperty(fc.array(payload, { maxLength: 5 }), async (payloads) => {
        const back = await codec.decode(await codec.encode(payloads));
        assert.deepEqual(back.map(plain), payloads.map(plain));
      }),
    );
  });

  it('lets nobody see what is in a payload, nor that two are the same', async () => {
    const [one, two] = await codec.encode([payloadOf('"tok_ok"'), payloadOf('"tok_ok"')]);
    for (const payload of [one, two]) {
      assert.doesNotMatch(Buffer.from(payload?.data ?? []).toString('latin1'), /tok_ok|json/);
      assert.deepEqual(plain(payload ?? {}).metadata, {
        encoding: 'binary/encrypted',
        'encryption-key-id': '2026-11',
      });
    }
    assert.notDeepEqual(one?.data, two?.data);
  });

  it('reads what an older key encrypted, and what was written before there was one', async () => {
    const old = await new EncryptionCodec([OLD]).encode([payloadOf('1')]);
    const back = await codec.decode([...old, payloadOf('2')]);
    assert.deepEqual(back.map(plain), [payloadOf('1'), payloadOf('2')].map(plain));
  });

  it('names a key that it does not have, and what to do', async () => {
    const lost = await new EncryptionCodec([keyOf('2025-11')]).encode([payloadOf('1')]);
    await assert.rejects(codec.decode(lost), (error) => {
      assert.ok(error instanceof UndecryptablePayload);
      assert.match(error.message, /^no key 2025-11: add it to TEMPORAL_PAYLOAD_KEYS/);
      return true;
    });
  });

  it('refuses a payload of which any bit was changed, or that was cut', async () => {
    const { metadata, data } = only(await codec.encode([payloadOf('{"amount":39000}')]));
    const bytes = Buffer.from(data ?? []);
    await fc.assert(
      fc.asyncProperty(fc.nat({ max: bytes.length * 8 - 1 }), async (bit) => {
        const changed = Buffer.from(bytes);
        changed[bit >> 3] = (changed[bit >> 3] ?? 0) ^ (1 << (bit & 7));
        await assert.rejects(codec.decode([{ metadata, data: changed }]), UndecryptablePayload);
      }),
    );
    for (let length = 0; length < bytes.length; length += 1) {
      await assert.rejects(codec.decode([{ metadata, data: bytes.subarray(0, length) }]), UndecryptablePayload);
    }
  });

  it('refuses a payload under the name of another key of the same secret', async () => {
    const twin = new EncryptionCodec([NEW, { id: 'twin', secret: NEW.secret }]);
    const { metadata, data } = only(await codec.encode([payloadOf('1')]));
    const renamed = { metadata: { ...metadata, 'encryption-key-id': Buffer.from('twin') }, data };
    await assert.rejects(twin.decode([renamed]), /was changed, or TEMPORAL_PAYLOAD_KEYS has another secret/);
  });
});
