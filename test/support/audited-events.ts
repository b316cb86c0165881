import assert from 'node:assert/strict';

import { kafkaHistory } from '../../events/bus/kafka-history.ts';
import { audit } from '../../infra/audit/audit.ts';
import type { TestDatabases } from './databases.ts';

/**
 * Audits the events of drained outboxes: invariant 7 holds, and nothing is on its way any more. Call it where a fault has
 * been survived.
 *
 * @param kafka what carries them, where it is not the log
 * @returns how many events were looked at
 */
export async function assertEventsAudited(
  { urls }: Pick<TestDatabases, 'urls'>,
  kafka?: Readonly<{ brokers: readonly string[]; prefix?: string }>,
): Promise<number> {
  const topics = kafka && kafkaHistory(kafka, kafka);
  const deps = { urls, topics, ledger: undefined, workflows: undefined };
  const { invariants, findings, inProgress, unknown, notes } = await audit(deps, { only: [7], recheckAfterMs: 200 });
  assert.deepEqual(
    { findings, inProgress, unknown, notes },
    { findings: [], inProgress: [], unknown: [], notes: [] },
    'the audit of the events is not clean',
  );
  return invariants.reduce((sum, { looked }) => sum + looked, 0);
}
