import type { Databases, SqlTransaction } from '../infra/databases.ts';
import type { FaultScript, Route } from './requests.ts';

/** A scripted fault that has been taken for one call. */
export type Fault = Readonly<{
  kind: FaultScript['kind'];
  /** Which variant of the kind, where it has several. */
  mode: string | null;
  copies: number | null;
  ms: number;
  status: number | null;
  retryAfterSeconds: number | null;
}>;

/** Adds a script behind those that are there. @returns its id */
export async function addFault(db: Databases['gateway'], script: FaultScript): Promise<string> {
  const { id } = await db.fault.create({
    data: {
      route: script.route,
      orderId: script.orderId ?? null,
      kind: script.kind,
      mode: 'mode' in script ? script.mode : null,
      copies: 'copies' in script ? script.copies : null,
      ms: 'ms' in script ? script.ms : 0,
      status: 'status' in script ? script.status : null,
      retryAfterSeconds: 'retryAfterSeconds' in script ? (script.retryAfterSeconds ?? null) : null,
      remaining: script.times,
    },
  });
  return String(id);
}

/** Takes the oldest script that matches, once. Two calls at once never take the same turn of it. */
export async function takeFault(
  db: SqlTransaction,
  route: FaultScript['route'],
  orderId: string,
): Promise<Fault | undefined> {
  const [fault] = await db.$queryRaw<Fault[]>`
    update faults set remaining = remaining - 1
    where id = (
      select id from faults
      where route = ${route} and (order_id is null or order_id = ${orderId}) and remaining > 0
      order by id limit 1 for update)
    returning kind, mode, copies, ms, status, retry_after_seconds as "retryAfterSeconds"`;
  return fault;
}

/** The scripts that still have turns. */
export async function listFaults(db: Databases['gateway']) {
  const rows = await db.fault.findMany({ where: { remaining: { gt: 0 } }, orderBy: { id: 'asc' } });
  return rows.map(({ id, createdAt, ...rest }) => ({ id: String(id), ...rest, createdAt: createdAt.toISOString() }));
}

export const clearFaults = (db: Databases['gateway']) => db.fault.deleteMany();

export type Held = Readonly<{ route: Route; orderId: string }>;

/** Answers that wait although their effect is committed. In memory, as the connections are that they wait on. */
export class Holds {
  readonly #held = new Map<AbortController, Held>();

  /** Resolves after `ms`, when everything is released, or when the caller is gone. */
  async wait(held: Held, ms: number, gone: AbortSignal, sleep: (ms: number, until: AbortSignal) => Promise<void>) {
    const release = new AbortController();
    this.#held.set(release, held);
    await sleep(ms, AbortSignal.any([release.signal, gone]));
    this.#held.delete(release);
  }

  list(): readonly Held[] {
    return [...this.#held.values()];
  }

  releaseAll(): void {
    for (const release of this.#held.keys()) release.abort();
  }
}
