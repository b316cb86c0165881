import { createCipheriv, createDecipheriv, randomBytes } from 'node:crypto';

/** 256 random bits that belong to one person. Whoever has them can read what was sealed for that person, and nobody else. */
export type PersonalKey = Uint8Array;

/** What the shop knows about who somebody is, by the names of the events. */
export const PERSONAL_NAMES = ['username', 'email', 'fullName'] as const;
export type PersonalName = (typeof PERSONAL_NAMES)[number];
export type PersonalData = Readonly<Record<PersonalName, string>>;

export const KEY_BYTES = 32;
const CIPHER = 'aes-256-gcm';
const NONCE_BYTES = 12;
const TAG_BYTES = 16;
const PREFIX = 'sealed:v1:';
/** How long a name is tells something too, so it is filled up to a multiple of this. */
const BLOCK_BYTES = 32;

export const newPersonalKey = (): PersonalKey => randomBytes(KEY_BYTES);

/** What stands for a person who was erased. Each differs from every other's, because usernames and addresses are unique. */
export const placeholdersOf = (userId: string): PersonalData => ({
  username: `erased-${userId}`,
  email: `erased-${userId}@erased.invalid`,
  fullName: 'Erased customer',
});

/** Whether a name or an address is kept for people who were erased, so that nobody else may have it. */
export const isPlaceholder = (name: PersonalName, text: string): boolean =>
  name !== 'fullName' && /^erased-\d+(@erased\.invalid)?$/i.test(text);

/**
 * Personal data as they may be stored for ever: `sealed:v1:`, then base64url of nonce, ciphertext and tag. Person and field
 * take part in the tag, so that nothing can be put in another's place. The same text never looks the same twice.
 *
 * @param key null when the person was erased: then there are only placeholders
 */
export const sealedData = (key: PersonalKey | null, userId: string, data: PersonalData): PersonalData =>
  key === null ? placeholdersOf(userId) : each((name) => seal(key, `${userId}/${name}`, data[name]));

/**
 * Personal data as they were.
 *
 * @param key null or undefined when there is none any more
 * @returns the placeholder for what cannot be opened: its key is gone, it was sealed for somebody else, or it is damaged
 */
export function openedData(key: PersonalKey | null | undefined, userId: string, data: PersonalData): PersonalData {
  const placeholders = placeholdersOf(userId);
  return each((name) => opened(key, userId, name, data[name]) ?? placeholders[name]);
}

/** One field as it was; undefined when it cannot be opened. */
function opened(
  key: PersonalKey | null | undefined,
  userId: string,
  name: PersonalName,
  text: string,
): string | undefined {
  if (!key || !text.startsWith(PREFIX)) return undefined;
  const bytes = Buffer.from(text.slice(PREFIX.length), 'base64url');
  if (bytes.length < NONCE_BYTES + TAG_BYTES) return undefined;
  const decipher = createDecipheriv(CIPHER, key, bytes.subarray(0, NONCE_BYTES), { authTagLength: TAG_BYTES })
    .setAAD(Buffer.from(`${userId}/${name}`))
    .setAuthTag(bytes.subarray(-TAG_BYTES));
  const padded = decipher.update(bytes.subarray(NONCE_BYTES, -TAG_BYTES));
  try {
    decipher.final();
  } catch {
    return undefined; // Node has no other way to say that the tag is not right
  }
  return padded.toString().replace(/\0+$/, '');
}

function seal(key: PersonalKey, owner: string, text: string): string {
  const nonce = randomBytes(NONCE_BYTES);
  const cipher = createCipheriv(CIPHER, key, nonce, { authTagLength: TAG_BYTES }).setAAD(Buffer.from(owner));
  const bytes = Buffer.from(text);
  // No text of PostgreSQL's holds a zero, so what is filled up can be told from the text.
  const filled = Buffer.alloc(Math.max(1, Math.ceil(bytes.length / BLOCK_BYTES)) * BLOCK_BYTES);
  bytes.copy(filled);
  return (
    PREFIX + Buffer.concat([nonce, cipher.update(filled), cipher.final(), cipher.getAuthTag()]).toString('base64url')
  );
}

const each = (change: (name: PersonalName) => string): PersonalData => ({
  username: change('username'),
  email: change('email'),
  fullName: change('fullName'),
});
