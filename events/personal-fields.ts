import { openedData, type PersonalKey, sealedData } from '../infra/personal-seal.ts';
import type { EventData, EventType } from './catalogue.ts';

/**
 * The fields of each type that tell who somebody is. Events are kept for ever and copied to the bus and to the views, so in
 * all of them these are sealed under the person's own key: without it nobody can read any of the copies.
 */
export const PERSONAL_FIELDS = {
  UserCreated: ['username', 'email', 'fullName'],
  UserUpdated: ['username', 'email', 'fullName'],
} as const satisfies { [T in EventType]?: readonly (keyof EventData<T>)[] };

type UserData = EventData<keyof typeof PERSONAL_FIELDS>;

/** The data of an event about a user as they may be stored. Seal before the event is made. @param key null after the erasure */
export const sealed = (key: PersonalKey | null, data: UserData): UserData => ({
  ...data,
  ...sealedData(key, data.userId, data),
});

/** The data of an event about a user as they were; placeholders when the key is gone. */
export const opened = (key: PersonalKey | null | undefined, data: UserData): UserData => ({
  ...data,
  ...openedData(key, data.userId, data),
});
