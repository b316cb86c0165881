import type { EventData, EventType } from './catalogue.ts';
import type { ReadEvent } from './read-event.ts';

/** The fields of each type that tell who somebody is. Events are kept, so these are stored under the person's own key. */
export const PERSONAL_FIELDS = {
  UserCreated: ['username', 'email', 'fullName'],
  UserUpdated: ['username', 'email', 'fullName'],
} as const satisfies { [T in EventType]?: readonly (keyof EventData<T>)[] };

type PersonalType = keyof typeof PERSONAL_FIELDS;
type Fields = Readonly<Record<string, string>>;

/** Hides and shows a person's fields with a key that belongs to that person alone (`userId` is `users.id`). */
export type PersonalCipher = Readonly<{
  /** The same fields as they may be stored. */
  seal: (userId: string, fields: Fields) => Promise<Fields>;
  /** The same fields as they were; a placeholder for each when the person's key is gone. */
  open: (userId: string, fields: Fields) => Promise<Fields>;
}>;

/** Stores personal fields as they are: nobody has a key yet. */
export const PLAIN: PersonalCipher = {
  seal: (_userId, fields) => Promise.resolve(fields),
  open: (_userId, fields) => Promise.resolve(fields),
};

/** The data of an event about a user as they may be stored. Seal before the event is made. */
export const sealed = (cipher: PersonalCipher, type: PersonalType, data: EventData<PersonalType>) =>
  withFields(cipher.seal, type, data);

/** An event as its readers may see it: personal fields as they were. Events without any come back as they are. */
export async function revealed(cipher: PersonalCipher, event: ReadEvent): Promise<ReadEvent> {
  if (event.type === 'UserCreated') return { ...event, data: await withFields(cipher.open, event.type, event.data) };
  if (event.type === 'UserUpdated') return { ...event, data: await withFields(cipher.open, event.type, event.data) };
  return event;
}

async function withFields(
  change: PersonalCipher['seal'],
  type: PersonalType,
  data: EventData<PersonalType>,
): Promise<EventData<PersonalType>> {
  const fields = Object.fromEntries(PERSONAL_FIELDS[type].map((name) => [name, data[name]]));
  return { ...data, ...(await change(data.userId, fields)) };
}
