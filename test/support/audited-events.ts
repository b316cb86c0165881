import assert from 'node:assert/strict';

import { audit } from '../../infra/audit/audit.ts';
import type { TestDatabases } from './databases.ts';

/**
 * Audits the events of drained outboxes: invariant 7 holds, and nothing is on its way any more. Call it where a fault has
 * been survived.
 *
 * @returns how many events were looked at
 */
export async function assertEventsAudited({ urls }: Pick<TestDatabases, 'urls'>): Promise<number> {
  const deps = { urls, ledger: undefined, workflows: undefined };
  const { invariants, findings, inProgress, unknown, notes } = await audit(deps, { only: [7], recheckAfterMs: 200 });
  assert.deepEqual(
    { findings, inProgress, unknown, notes },
    { findings: [], inProgress: [], unknown: [], notes: [] },
    'the audit of the events is not clean',
  );
  return invariants.reduce((sum, { looked }) => sum + looked, 0);
}
