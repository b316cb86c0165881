import type { Databases } from '../../infra/databases.ts';
import { type StoredEvent, subjectOf } from '../stored-event.ts';
import { type Delivery, lockSubject, subjectColumn } from './dead-letters.ts';

/** Who gives an event up, and why. Both are kept with the letter. */
export type Discard = Readonly<{ by: string; reason: string }>;

/** What became of a wish to give an event up. */
export type Discarded =
  /** `redriven`: so many letters waited behind it, and go to the group's consumer again. */
  | Readonly<{ result: 'DISCARDED'; group: string; subject: string; redriven: number }>
  /** There is no such letter, or no longer. */
  | Readonly<{ result: 'UNKNOWN' }>
  | Readonly<{ result: 'ALREADY_DISCARDED'; group: string; subject: string }>
  /** Its consumer may have it in hand, and may be able to handle it now. */
  | Readonly<{ result: 'ALREADY_REDRIVEN'; group: string; subject: string }>
  /** It was never tried: it waits behind another one, and nobody knows whether it can be handled. */
  | Readonly<{ result: 'NOT_TRIED'; group: string; subject: string }>;

/** Longest name and longest reason that are kept, characters. */
export const LONGEST_BY = 255;
export const LONGEST_DISCARD_REASON = 400;

type Deps = Pick<Databases, 'bus'>;

/**
 * Gives up the event of a letter that failed, for its group alone and for good: no consumer of the group is given it
 * again, also not when the bus delivers it once more. The letter stays as a record. What waits behind it in its subject is
 * redriven, in order. Repeat-safe: the second time it says so and changes nothing.
 *
 * @param by at most 255 characters
 * @param reason at most 400 characters, without NUL
 */
export function discardLetter({ bus }: Deps, id: string, { by, reason }: Discard): Promise<Discarded> {
  return bus.$transaction(async (tx) => {
    const [found] = await tx.$queryRaw<{ group: string; subject: string }[]>`
      select group_name as "group", subject from dead_letters where id = ${id}::bigint`;
    if (found === undefined) return { result: 'UNKNOWN' };
    const { group, subject } = found;
    await lockSubject(tx, group, subject);

    const [letter] = await tx.$queryRaw<LetterRow[]>`
      select event, attempts, redriven_at is not null as redriven, discarded_at is not null as discarded
      from dead_letters where id = ${id}::bigint`;
    if (letter === undefined) return { result: 'UNKNOWN' }; // it was handled while we waited
    if (letter.discarded) return { result: 'ALREADY_DISCARDED', group, subject };
    if (letter.redriven) return { result: 'ALREADY_REDRIVEN', group, subject };
    if (letter.attempts === 0) return { result: 'NOT_TRIED', group, subject };

    // The bus may have delivered it more than once: a repeat would fail in turn, and hold up the subject again.
    const others = await tx.$queryRaw<{ id: bigint; event: StoredEvent }[]>`
      select id, event from dead_letters
      where group_name = ${group} and subject = ${subject} and discarded_at is null`;
    const ids = others.filter(({ event }) => isSame(event, letter.event)).map((other) => other.id);
    await tx.$executeRaw`
      update dead_letters set discarded_at = now(), discarded_by = ${by}, discard_reason = ${reason}
      where id = any(${ids}::bigint[])`;
    const redriven = await tx.$executeRaw`
      update dead_letters set redriven_at = now()
      where group_name = ${group} and subject = ${subject} and discarded_at is null`;
    await tx.$queryRaw`select pg_notify('event_log', '')::text`; // its consumer need not wait until it polls
    return { result: 'DISCARDED', group, subject, redriven };
  });
}

type LetterRow = Readonly<{ event: StoredEvent; attempts: number; redriven: boolean; discarded: boolean }>;

/** Leaves out the deliveries of events that were given up for this group. */
export async function withoutDiscarded(
  { bus }: Deps,
  group: string,
  deliveries: readonly Delivery[],
): Promise<readonly Delivery[]> {
  const subjects = [...new Set(deliveries.map(({ event }) => subjectColumn(event)))];
  const rows = await bus.$queryRaw<{ event: StoredEvent }[]>`
    select event from dead_letters
    where group_name = ${group} and subject = any(${subjects}::text[]) and discarded_at is not null`;
  if (rows.length === 0) return deliveries;
  return deliveries.filter((delivery) => !rows.some(({ event }) => isSame(event, delivery.event)));
}

/** The id alone is not enough: whoever writes a record to Kafka may have put any id into it. */
const isSame = (one: StoredEvent, other: StoredEvent): boolean =>
  one.id === other.id && subjectOf(one) === subjectOf(other);
