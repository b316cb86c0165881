import { CheckoutError, type ErrorCode } from '../../domain/errors.ts';
import { type ReadEvent, readEvent } from '../../events/read-event.ts';
import type { StoredEvent } from '../../events/stored-event.ts';
import type { SqlTransaction } from '../../infra/databases.ts';

/** A request of an administrator that makes something. */
export type AdministrationRequest = Readonly<{
  /** `requestIdFor` of route, caller and key. */
  id: string;
  /** SHA-256 of the canonical request body, hexadecimal. */
  requestHash: string;
}>;

/**
 * The first event of what this request has made already; undefined when it has made nothing. Two copies of a request wait
 * for each other here until the transaction ends.
 *
 * @throws CheckoutError IDEMPOTENCY_KEY_REUSED
 */
export async function madeBy(tx: SqlTransaction, request: AdministrationRequest): Promise<ReadEvent | undefined> {
  const { id, requestHash } = request;
  await tx.$queryRaw`select pg_advisory_xact_lock(hashtextextended('administration:' || ${id}, 0))::text`;
  const [made] = await tx.$queryRaw<(StoredEvent & Readonly<{ requestHash: string }>)[]>`
    select r.request_hash as "requestHash", o.event_id as id, o.type, 'platform' as source,
      o.aggregate_type as "aggregateType", o.aggregate_id as "aggregateId", 1 as "aggregateVersion", o.envelope
    from administration_requests r
    join outbox o on (o.aggregate_type, o.aggregate_id, o.aggregate_version) = (r.aggregate_type, r.aggregate_id, 1)
    where r.id = ${id}::uuid`;
  if (made === undefined) return undefined;
  if (made.requestHash === requestHash) return readEvent(made);
  throw new CheckoutError('IDEMPOTENCY_KEY_REUSED', 'this key belongs to another request');
}

/** Remembers what a request has made, in the transaction that makes it. */
export async function rememberRequest(
  tx: SqlTransaction,
  { id, requestHash }: AdministrationRequest,
  { aggregateType, subject }: Readonly<{ aggregateType: string; subject: string }>,
): Promise<void> {
  await tx.$executeRaw`
    insert into administration_requests (id, request_hash, aggregate_type, aggregate_id)
    values (${id}::uuid, ${requestHash}, ${aggregateType}, ${subject})`;
}

/** The versions that a caller takes for the newest, or null for whatever it is. */
export type ExpectedVersions = readonly number[] | null;

/** @throws CheckoutError VERSION_MISMATCH when somebody has changed it since */
export function expectVersion(version: number, expected: ExpectedVersions): void {
  if (expected === null || expected.includes(version)) return;
  throw new CheckoutError('VERSION_MISMATCH', 'it was changed by somebody else since you have read it');
}

/**
 * What the work gives; a name that somebody else has becomes the refusal that the table says. The database decides, so
 * that two who take the same name at once cannot both have it.
 *
 * @param codes by the names of the unique indexes
 * @throws CheckoutError with the code of the index
 */
export async function refusingTaken<T>(codes: Readonly<Record<string, ErrorCode>>, work: Promise<T>): Promise<T> {
  try {
    return await work;
  } catch (error) {
    const index = violatedIndex(error);
    const code = index !== undefined && Object.hasOwn(codes, index) ? codes[index] : undefined;
    if (code === undefined) throw error;
    throw new CheckoutError(code, `another one has this ${code.replace('_TAKEN', '').toLowerCase()} already`);
  }
}

/** Prisma hands on what its driver adapter said: the name of the index, for its own queries and for raw ones. */
function violatedIndex(error: unknown): string | undefined {
  const meta = partOf(error, 'meta');
  const cause = partOf(partOf(meta, 'driverAdapterError'), 'cause');
  const index = partOf(partOf(cause, 'constraint'), 'index');
  return partOf(cause, 'kind') === 'UniqueConstraintViolation' && typeof index === 'string' ? index : undefined;
}

const partOf = (value: unknown, name: string): unknown =>
  typeof value === 'object' && value !== null && name in value ? (value as Record<string, unknown>)[name] : undefined;
