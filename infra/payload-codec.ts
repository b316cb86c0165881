import { createCipheriv, createDecipheriv, randomBytes } from 'node:crypto';

import type { Payload, PayloadCodec } from '@temporalio/common';
import proto from '@temporalio/proto';

import type { KeyRing, PayloadKey } from './payload-keys.ts';

const { Payload: PayloadMessage } = proto.temporal.api.common.v1; // a CommonJS package: Node sees its default export alone

const CIPHER = 'aes-256-gcm';
const NONCE_BYTES = 12;
const TAG_BYTES = 16;
/** As Temporal's own samples name it, so that its tools know an encrypted payload when they see one. */
const ENCODING = 'binary/encrypted';
const KEY_ID = 'encryption-key-id';

/** Thrown for a payload that cannot be decrypted. Its message names the key and what to do, never what it holds. */
export class UndecryptablePayload extends Error {}

/**
 * Encrypts what workflows and activities are given and answer, so that whoever reads Temporal's database, or asks its
 * server, learns nothing from it. The first key of the ring encrypts, every key decrypts. What is not encrypted is handed
 * on as it is: it was written while encryption was off.
 */
export class EncryptionCodec implements PayloadCodec {
  readonly #keys: KeyRing;
  readonly #encrypts: boolean;

  /** @param options `encrypts: false` writes in clear, and still reads what was encrypted before */
  constructor(keys: KeyRing, { encrypts = true }: Readonly<{ encrypts?: boolean }> = {}) {
    this.#keys = keys;
    this.#encrypts = encrypts;
  }

  encode(payloads: Payload[]): Promise<Payload[]> {
    if (!this.#encrypts) return Promise.resolve(payloads);
    return Promise.resolve(payloads.map((payload) => encrypted(payload, this.#keys[0])));
  }

  /** @throws UndecryptablePayload */
  // eslint-disable-next-line @typescript-eslint/require-await -- what it throws must be a rejection
  async decode(payloads: Payload[]): Promise<Payload[]> {
    return payloads.map((payload) => this.#decrypted(payload));
  }

  #decrypted(payload: Payload): Payload {
    if (textOf(payload, 'encoding') !== ENCODING) return payload;
    const id = textOf(payload, KEY_ID);
    const key = this.#keys.find((key) => key.id === id);
    if (key === undefined) {
      throw new UndecryptablePayload(`no key ${id}: add it to TEMPORAL_PAYLOAD_KEYS, behind the one that encrypts`);
    }
    return decrypted(payload.data ?? new Uint8Array(), key);
  }
}

/** Nonce, text, tag. The id of the key takes part in the tag: nobody can say that another key was meant. */
function encrypted(payload: Payload, { id, secret }: PayloadKey): Payload {
  const nonce = randomBytes(NONCE_BYTES);
  const cipher = createCipheriv(CIPHER, secret, nonce, { authTagLength: TAG_BYTES }).setAAD(Buffer.from(id));
  const text = cipher.update(PayloadMessage.encode(payload).finish());
  return {
    metadata: { encoding: Buffer.from(ENCODING), [KEY_ID]: Buffer.from(id) },
    data: Buffer.concat([nonce, text, cipher.final(), cipher.getAuthTag()]),
  };
}

function decrypted(data: Uint8Array, { id, secret }: PayloadKey): Payload {
  try {
    const nonce = data.subarray(0, NONCE_BYTES);
    const decipher = createDecipheriv(CIPHER, secret, nonce, { authTagLength: TAG_BYTES })
      .setAAD(Buffer.from(id))
      .setAuthTag(data.subarray(-TAG_BYTES));
    const text = [decipher.update(data.subarray(NONCE_BYTES, -TAG_BYTES)), decipher.final()];
    return PayloadMessage.decode(Buffer.concat(text));
  } catch (error) {
    // What Node says of a bad tag or an odd length helps nobody.
    const why = `it was changed, or TEMPORAL_PAYLOAD_KEYS has another secret under the name ${id}`;
    throw new UndecryptablePayload(`a payload that is encrypted with key ${id} cannot be read: ${why}`, {
      cause: error,
    });
  }
}

const textOf = ({ metadata }: Payload, name: string): string | undefined => {
  const value = metadata?.[name];
  return value && Buffer.from(value).toString();
};
