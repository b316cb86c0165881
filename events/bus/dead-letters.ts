import type { Databases, SqlTransaction } from '../../infra/databases.ts';
import { type StoredEvent, subjectOf } from '../stored-event.ts';

/** One event as a bus hands it to a consumer. */
export type Delivery = Readonly<{
  /** Where the bus has it, for example `log:42` or `order.events/3/17`: a repeated delivery has the same. */
  place: string;
  event: StoredEvent;
  /** Why this is no event at all: no handler is asked. */
  broken?: string;
}>;

/** A delivery that a group could not handle, or that waits behind one. */
export type DeadLetter = Delivery & Readonly<{ id: bigint; subject: string; attempts: number }>;

/** Why a delivery becomes a dead letter, and how often it was tried. */
export type Failure = Readonly<{ reason: string; attempts: number }>;

/** Longest text that says why, characters: a driver's message may hold a whole statement. */
const LONGEST_REASON = 2_000;
const LONGEST_SUBJECT = 255;

/** What the letters of one subject are kept together by. What does not fit its column is cut: it only waits together. */
export const subjectColumn = (event: StoredEvent): string => fitting(subjectOf(event), LONGEST_SUBJECT);

/** Those of `subjects` with a letter that was not given up: their later events have to wait behind it. */
export async function blockedSubjects(
  { bus }: Pick<Databases, 'bus'>,
  group: string,
  subjects: readonly string[],
): Promise<ReadonlySet<string>> {
  const rows = await bus.$queryRaw<{ subject: string }[]>`
    select distinct subject from dead_letters
    where group_name = ${group} and subject = any(${subjects}::text[]) and discarded_at is null`;
  return new Set(rows.map(({ subject }) => subject));
}

/**
 * Files a delivery that failed. It goes to the end of its subject's letters; where those wait for the group's consumer
 * because they were redriven, so does this one. Repeat-safe.
 */
export async function fileLetter(
  { bus }: Pick<Databases, 'bus'>,
  group: string,
  delivery: Delivery,
  failure: Failure,
): Promise<void> {
  await bus.$transaction(async (tx) => {
    await lockSubject(tx, group, subjectColumn(delivery.event));
    await insertLetters(tx, group, [delivery], failure);
  });
}

/**
 * Files deliveries of one subject behind its letters. Repeat-safe.
 *
 * @returns false when the subject has no letter any more: nothing is filed, and they are to be handled
 */
export function fileBehind(
  { bus }: Pick<Databases, 'bus'>,
  group: string,
  subject: string,
  deliveries: readonly Delivery[],
): Promise<boolean> {
  return bus.$transaction(async (tx) => {
    await lockSubject(tx, group, subject);
    const first = await tx.$queryRaw<unknown[]>`
      select 1 from dead_letters
      where group_name = ${group} and subject = ${subject} and discarded_at is null
      limit 1`;
    if (first.length === 0) return false;
    await insertLetters(tx, group, deliveries, { reason: 'waits behind an earlier event of its subject', attempts: 0 });
    return true;
  });
}

/** The oldest letter of a group that was redriven: within its subject there is no older one. */
export async function nextRedriven({ bus }: Pick<Databases, 'bus'>, group: string): Promise<DeadLetter | undefined> {
  const [row] = await bus.$queryRaw<(Omit<DeadLetter, 'broken'> & { broken: boolean; error: string })[]>`
    select id, place, subject, event, broken, error, attempts from dead_letters
    where group_name = ${group} and redriven_at is not null
    order by id
    limit 1`;
  if (row === undefined) return undefined;
  const { broken, error, ...letter } = row;
  return { ...letter, ...(broken && { broken: error }) };
}

/** Removes a letter that was handled. Its subject's next one comes after it. Repeat-safe. */
export async function clearLetter({ bus }: Pick<Databases, 'bus'>, group: string, letter: DeadLetter): Promise<void> {
  await bus.$transaction(async (tx) => {
    await lockSubject(tx, group, letter.subject);
    await tx.$executeRaw`delete from dead_letters where id = ${letter.id}`;
  });
}

/**
 * A redrive that failed again: the letter stays, and nothing of its subject waits for the consumer any more. Does nothing
 * where another consumer, or an operator, has done with the letter meanwhile: what is behind it is theirs.
 */
export async function failLetterAgain(
  { bus }: Pick<Databases, 'bus'>,
  group: string,
  letter: DeadLetter,
  { reason, attempts }: Failure,
): Promise<void> {
  await bus.$transaction(async (tx) => {
    await lockSubject(tx, group, letter.subject);
    const failed = await tx.$executeRaw`
      update dead_letters
      set error = ${reasonColumn(reason)}, attempts = attempts + ${attempts}, failed_at = now()
      where id = ${letter.id} and redriven_at is not null`;
    if (failed === 0) return;
    await tx.$executeRaw`
      update dead_letters set redriven_at = null
      where group_name = ${group} and subject = ${letter.subject} and redriven_at is not null`;
  });
}

/**
 * Takes or renews the right to handle the letters of a group that were redriven.
 *
 * @param leaseMs milliseconds after which somebody else may take it
 * @returns false while somebody else has it
 */
export async function takeRedriveLease(
  { bus }: Pick<Databases, 'bus'>,
  group: string,
  holder: string,
  leaseMs: number,
): Promise<boolean> {
  const taken = await bus.$executeRaw`
    insert into redrive_leases as l (group_name, holder, until)
    values (${group}, ${holder}, now() + ${leaseMs} * interval '1 millisecond')
    on conflict (group_name) do update set holder = excluded.holder, until = excluded.until
    where l.holder = excluded.holder or l.until < now()`;
  return taken === 1;
}

/** Gives the right back, so that nobody has to wait until it expires. Repeat-safe. */
export async function giveBackRedriveLease(
  { bus }: Pick<Databases, 'bus'>,
  group: string,
  holder: string,
): Promise<void> {
  await bus.$executeRaw`delete from redrive_leases where group_name = ${group} and holder = ${holder}`;
}

/** Whoever looks whether a subject has letters, and acts on the answer, does so one after another. */
export async function lockSubject(tx: SqlTransaction, group: string, subject: string): Promise<void> {
  const name = JSON.stringify([group, subject]);
  await tx.$queryRaw`select pg_advisory_xact_lock(hashtextextended(${name}, 0))::text`;
}

async function insertLetters(
  tx: SqlTransaction,
  group: string,
  deliveries: readonly Delivery[],
  { reason, attempts }: Failure,
): Promise<void> {
  const rows = deliveries.map(({ place, event, broken }, n) => ({
    ...{ n, place, subject: subjectColumn(event), attempts },
    event: JSON.stringify(event),
    broken: broken !== undefined,
    error: reasonColumn(broken ?? reason),
  }));
  await tx.$executeRaw`
    insert into dead_letters (group_name, place, subject, event, broken, error, attempts, redriven_at)
    select ${group}, place, subject, event::json, broken, error, attempts,
      (select min(d.redriven_at) from dead_letters d where d.group_name = ${group} and d.subject = l.subject)
    from jsonb_to_recordset(${JSON.stringify(rows)}::jsonb)
      as l(n int, place text, subject text, event text, broken boolean, error text, attempts int)
    order by n
    on conflict (group_name, place) do nothing`;
}

const reasonColumn = (reason: string): string => fitting(reason, LONGEST_REASON);

/** Text columns take no NUL and no half of a character. */
const fitting = (text: string, length: number): string =>
  Buffer.from(text.replaceAll('\0', '\uFFFD').slice(0, length)).toString();
