import { createCipheriv, createDecipheriv, randomBytes } from 'node:crypto';

import type { Payload, PayloadCodec } from '@temporalio/common';
import proto from '@temporalio/proto';

import { KEY_NAME, type PayloadKey } from './payload-keys.ts';

const { Payload: PayloadMessage } = proto.temporal.api.common.v1; // a CommonJS package: Node sees its default export alone

const CIPHER = 'aes-256-gcm';
const NONCE_BYTES = 12;
const TAG_BYTES = 16;
/** As Temporal's own samples name it, so that its tools know an encrypted payload when they see one. */
const ENCODING = 'binary/encrypted';
const KEY_ID = 'encryption-key-id';

/** Thrown for a payload that cannot be decrypted. Its message names the key and what to do, never what it holds. */
export class UndecryptablePayload extends Error {
  constructor(message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = 'UndecryptablePayload'; // shown as the type of the failure
  }
}

export type CodecOptions = Readonly<{
  /** False: writes in clear, and still reads what was encrypted before. */
  encrypts?: boolean;
  /** Told why payloads cannot be decrypted, each reason once: the SDK and the API may keep the error to themselves. */
  report?: (reason: string) => void;
}>;

/** So that nobody can fill the memory with ids of keys that never were. */
const MOST_REASONS = 100;

/**
 * Encrypts what workflows and activities are given and answer, so that whoever reads Temporal's database, or asks its
 * server, learns nothing from it. The first key of the ring encrypts, every key decrypts. What is not encrypted is handed
 * on as it is: it was written while encryption was off, or by an operator's command. docs/decisions/0032 says what this
 * protects from, and what not.
 */
export class EncryptionCodec implements PayloadCodec {
  readonly #keys: readonly PayloadKey[];
  readonly #encryptsWith: PayloadKey | undefined;
  readonly #report: (reason: string) => void;
  readonly #reported = new Set<string>();

  /** @throws RangeError when it is to encrypt, and there is no key */
  constructor(keys: readonly PayloadKey[], { encrypts = true, report = () => undefined }: CodecOptions = {}) {
    const [first] = keys;
    if (encrypts && first === undefined) throw new RangeError('no key to encrypt with');
    this.#keys = keys;
    this.#encryptsWith = encrypts ? first : undefined;
    this.#report = report;
  }

  encode(payloads: Payload[]): Promise<Payload[]> {
    const key = this.#encryptsWith;
    return Promise.resolve(key === undefined ? payloads : payloads.map((payload) => encrypted(payload, key)));
  }

  /** @throws UndecryptablePayload */
  // eslint-disable-next-line @typescript-eslint/require-await -- what it throws must be a rejection
  async decode(payloads: Payload[]): Promise<Payload[]> {
    try {
      return payloads.map((payload) => this.#decrypted(payload));
    } catch (error) {
      if (error instanceof UndecryptablePayload) this.#reportOnce(error.message);
      throw error;
    }
  }

  #decrypted(payload: Payload): Payload {
    if (textOf(payload, 'encoding') !== ENCODING) return payload;
    const id = textOf(payload, KEY_ID);
    const key = this.#keys.find((key) => key.id === id);
    if (key === undefined) {
      const name = id !== undefined && KEY_NAME.test(id) ? id : 'of such a name'; // anybody may have written it
      throw new UndecryptablePayload(`no key ${name}: add it to TEMPORAL_PAYLOAD_KEYS, behind the one that encrypts`);
    }
    return decrypted(payload.data ?? new Uint8Array(), key);
  }

  #reportOnce(reason: string): void {
    if (this.#reported.has(reason) || this.#reported.size >= MOST_REASONS) return;
    this.#reported.add(reason);
    this.#report(reason);
  }
}

/**
 * Nonce, text, tag. The id of the key takes part in the tag: nobody can say that another key was meant. With random nonces
 * of 96 bits a key is good for 2^32 payloads (NIST SP 800-38D, 8.3).
 */
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
