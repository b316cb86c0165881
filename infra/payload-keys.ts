import { z } from 'zod';

/** Of AES-256. */
export const KEY_BYTES = 32;
const KEY = /^([\w.-]{1,64}):([A-Za-z0-9+/]{43}=)$/;
export const KEY_NAME = /^[\w.-]{1,64}$/;

/** A key of AES-256. Its id stands beside every payload that it encrypted. */
export type PayloadKey = Readonly<{ id: string; secret: Buffer }>;

/** The first one encrypts, all of them decrypt. */
export type KeyRing = readonly [PayloadKey, ...PayloadKey[]];

/** What the environment may say of the encryption of payloads: a part of the variables that `config.ts` reads. */
export const payloadVariables = {
  /** `id:base64 of 32 bytes`, several with commas between: a new one comes first, an old one stays while anything needs it. */
  TEMPORAL_PAYLOAD_KEYS: z
    .string()
    .transform((text, context): KeyRing => {
      const keys = text.split(',').map((part) => keyOf(part.trim()));
      const [first, ...others] = keys;
      // No part of the text may appear in a message: it is secret.
      if (first === undefined || keys.includes(undefined)) {
        context.addIssue({
          code: 'custom',
          message: `must be id:base64 of ${KEY_BYTES} bytes, several with commas between`,
        });
        return z.NEVER;
      }
      const ring: KeyRing = [first, ...others.filter((key) => key !== undefined)];
      if (new Set(ring.map(({ id }) => id)).size < ring.length) {
        context.addIssue({ code: 'custom', message: 'has two keys of one id' });
      }
      return ring;
    })
    .optional(),
  /** By default on in production mode, and off elsewhere: a developer wants to read histories. */
  TEMPORAL_PAYLOAD_ENCRYPTION: z.enum(['on', 'off']).optional(),
} as const;

function keyOf(text: string): PayloadKey | undefined {
  const [, id, secret] = KEY.exec(text) ?? [];
  return id === undefined || secret === undefined ? undefined : { id, secret: Buffer.from(secret, 'base64') };
}

type PayloadVariables = z.infer<z.ZodObject<typeof payloadVariables>>;

/** `keys` are none where none are configured; `encrypts`: whether new payloads are encrypted. */
export type PayloadSettings = Readonly<{ keys: KeyRing | undefined; encrypts: boolean }>;

/** @param byDefault whether payloads are encrypted where nothing is said of it */
export const payloadSettings = (e: PayloadVariables, byDefault: boolean): PayloadSettings => ({
  keys: e.TEMPORAL_PAYLOAD_KEYS,
  encrypts: e.TEMPORAL_PAYLOAD_ENCRYPTION === undefined ? byDefault : e.TEMPORAL_PAYLOAD_ENCRYPTION === 'on',
});

/** The same settings for a process that we start. */
export const payloadEnvironment = ({ keys, encrypts }: PayloadSettings) => ({
  TEMPORAL_PAYLOAD_KEYS: (keys ?? []).map(({ id, secret }) => `${id}:${secret.toString('base64')}`).join(','),
  TEMPORAL_PAYLOAD_ENCRYPTION: encrypts ? 'on' : 'off',
});
