import type { Databases } from '../../infra/databases.ts';
import type { StoredEvent } from '../stored-event.ts';
import { lockSubject } from './dead-letters.ts';
import type { Discard } from './discard.ts';

/**
 * `FAILED`: it was tried and failed. `WAITING`: never tried, it waits behind an earlier letter of its subject.
 * `REDRIVEN`: the group's consumer is to try it again. `DISCARDED`: it was given up, and is kept as a record.
 */
export type LetterState = 'FAILED' | 'WAITING' | 'REDRIVEN' | 'DISCARDED';

/** A dead letter as an operator sees it: without its data, which may be personal. */
export type ListedLetter = Readonly<{
  id: string;
  group: string;
  state: LetterState;
  /** `aggregateType/aggregateId` */
  subject: string;
  eventId: string;
  type: string;
  aggregateVersion: number;
  attempts: number;
  error: string;
  /** ISO 8601. */
  failedAt: string;
  /** Who gave it up, why, and when (ISO 8601); only where it is `DISCARDED`. */
  discarded?: Discard & Readonly<{ at: string }>;
}>;

export type LetterQuery = Readonly<{
  group?: string | undefined;
  /** Only those after this one, by id. */
  after?: string | undefined;
  /** Those that were given up instead of those that wait for somebody. */
  discarded?: boolean;
  limit: number;
}>;

/** What became of a wish to redrive. */
export type Redriven =
  | Readonly<{ result: 'REDRIVEN'; group: string; subject: string; letters: number }>
  /** There is no such letter, or no longer. */
  | Readonly<{ result: 'UNKNOWN' }>
  /** Somebody asked for it before, and the group's consumer has not come to it yet. */
  | Readonly<{ result: 'ALREADY_REDRIVEN'; group: string; subject: string }>
  /** It was given up, for good. */
  | Readonly<{ result: 'ALREADY_DISCARDED'; group: string; subject: string }>;

type Deps = Pick<Databases, 'bus'>;

/** One page of dead letters of all groups or one, oldest first. */
export async function listLetters(
  { bus }: Deps,
  { group, after, limit, discarded = false }: LetterQuery,
): Promise<ListedLetter[]> {
  const rows = await bus.$queryRaw<LetterRow[]>`
    select id, group_name as "group", subject, event, attempts, error, failed_at as "failedAt",
      case when discarded_at is not null then 'DISCARDED' when redriven_at is not null then 'REDRIVEN'
        when attempts = 0 then 'WAITING' else 'FAILED' end as state,
      discarded_at as "discardedAt", discarded_by as "discardedBy", discard_reason as "discardReason"
    from dead_letters
    where (${group ?? null}::text is null or group_name = ${group ?? null}) and id > ${after ?? '0'}::bigint
      and (discarded_at is not null) = ${discarded}
    order by id
    limit ${limit}`;
  return rows.map(({ id, event, failedAt, discardedAt, discardedBy, discardReason, ...row }) => ({
    ...row,
    id: id.toString(),
    ...{ eventId: event.id, type: event.type, aggregateVersion: event.aggregateVersion },
    failedAt: failedAt.toISOString(),
    ...(discardedAt && { discarded: { at: discardedAt.toISOString(), by: discardedBy, reason: discardReason } }),
  }));
}

type LetterRow = Pick<ListedLetter, 'group' | 'subject' | 'attempts' | 'error' | 'state'> &
  Readonly<{ id: bigint; event: StoredEvent; failedAt: Date }> &
  Readonly<{ discardedAt: Date | null; discardedBy: string; discardReason: string }>;

/**
 * Lets the group's consumer try a letter again, after all older ones of its subject and before all later: order is kept,
 * so the whole subject is marked. A letter that fails again stays, and ends the mark of the others. Repeat-safe.
 *
 * @param id of any letter of the subject
 */
export function redriveLetter({ bus }: Deps, id: string): Promise<Redriven> {
  return bus.$transaction(async (tx) => {
    const [letter] = await tx.$queryRaw<{ group: string; subject: string }[]>`
      select group_name as "group", subject from dead_letters where id = ${id}::bigint`;
    if (letter === undefined) return { result: 'UNKNOWN' };
    const { group, subject } = letter;
    await lockSubject(tx, group, subject);

    const [still] = await tx.$queryRaw<{ marked: boolean; discarded: boolean }[]>`
      select redriven_at is not null as marked, discarded_at is not null as discarded
      from dead_letters where id = ${id}::bigint`;
    if (still === undefined) return { result: 'UNKNOWN' }; // it was handled while we waited
    if (still.discarded) return { result: 'ALREADY_DISCARDED', group, subject };
    if (still.marked) return { result: 'ALREADY_REDRIVEN', group, subject };
    const letters = await tx.$executeRaw`
      update dead_letters set redriven_at = now()
      where group_name = ${group} and subject = ${subject} and discarded_at is null`;
    await tx.$queryRaw`select pg_notify('event_log', '')::text`; // its consumer need not wait until it polls
    return { result: 'REDRIVEN', group, subject, letters };
  });
}

/** The oldest letter of each subject that was not redriven yet, of all groups or one: for whoever redrives everything. */
export async function redrivableLetters({ bus }: Deps, group?: string): Promise<readonly string[]> {
  const rows = await bus.$queryRaw<{ id: bigint }[]>`
    select min(id) as id from dead_letters
    where redriven_at is null and discarded_at is null and (${group ?? null}::text is null or group_name = ${group ?? null})
    group by group_name, subject
    order by 1`;
  return rows.map(({ id }) => id.toString());
}
