import { audit, type Audited, isClean } from '../infra/audit/audit.ts';
import { eventsGoByKafka } from '../infra/audit/events.ts';
import { type Finding, INVARIANT_IDS, type InvariantId, INVARIANTS } from '../infra/audit/finding.ts';
import { CannotLook } from '../infra/audit/snapshot.ts';
import { temporalWorkflows, type Workflows } from '../infra/audit/workflows.ts';
import type { GatewayLedger } from '../infra/payment-gateway/ledger.ts';
import { AuditRuns, type Looked, type Verdict } from './audit-run.ts';
import { auditQuery, auditShop, type VerdictBody } from './contract/audit.ts';
import type { ApiDeps } from './deps.ts';
import { Unavailable } from './outage.ts';
import { parsed } from './requests.ts';
import { type Route, route } from './routes.ts';

/** Longest wait of a request, milliseconds. */
const PATIENCE_MS = 15_000;
const RETRY_AFTER_S = 5;
/** An API has more to do: a shop for which this is too short is audited by the command. Milliseconds. */
const AUDIT_LIMIT_MS = 5 * 60_000;
/** Of each kind in an answer. */
const MOST_SHOWN = 100;

const NO_BOOKS = "this process has no access to the payment provider's books: use `npm run audit`";
const NO_KAFKA = 'events go by Kafka, which this process does not know: use `npm run audit`';

/** The invariants of the databases, for administrators. */
export function auditRoutes(deps: ApiDeps): readonly Route[] {
  const runs = new AuditRuns(() => look(deps));
  return [
    route(auditShop, async (req, res) => {
      const { maxAge } = parsed(auditQuery, req.query);
      const found = await runs.ask({ maxAgeMs: maxAge * 1_000, patienceMs: PATIENCE_MS });
      res.set('Cache-Control', 'no-store');
      if ('audited' in found) return void res.json(present(found));
      const last = found.last === undefined ? null : present(found.last);
      res.status(202).set('Retry-After', String(RETRY_AFTER_S)).json({ startedAt: found.since.toISOString(), last });
    }),
  ];
}

/** @throws Unavailable naming what cannot be read */
async function look({ audit: sources, temporal, config, stopping }: ApiDeps): Promise<Looked> {
  const limit = AbortSignal.timeout(AUDIT_LIMIT_MS);
  const signal = AbortSignal.any([stopping, limit]);
  const limits = { signal, statementMs: AUDIT_LIMIT_MS };
  const { urls, ledger } = sources;
  try {
    const leftOut = new Map<InvariantId, string>();
    if (ledger === undefined) [4, 5].forEach((id) => leftOut.set(id as InvariantId, NO_BOOKS));
    if (await eventsGoByKafka(urls.bus ?? '', limits)) leftOut.set(7, NO_KAFKA);
    const workflows = endedBy(signal, temporalWorkflows(temporal.client, 'its address'));
    const audited = await audit(
      { urls, ledger: ledger && readBy(signal, ledger), workflows, timeZone: config.shopTimeZone, limits },
      { only: INVARIANT_IDS.filter((id) => !leftOut.has(id)) },
    );
    return { audited, leftOut };
  } catch (error) {
    if (limit.aborted) throw new Unavailable('the audit took too long here: use `npm run audit`', { cause: error });
    if (stopping.aborted) throw new Unavailable('this process is stopping; ask again', { cause: error });
    if (!(error instanceof CannotLook)) throw error;
    throw new Unavailable(`the audit cannot read ${error.what}; try again`, { cause: error });
  }
}

const readBy = (signal: AbortSignal, ledger: GatewayLedger): GatewayLedger => ({
  provider: ledger.provider,
  charges: (query) => ledger.charges({ ...query, signal }),
});

const endedBy = (signal: AbortSignal, { check, isOpen }: Workflows): Workflows => ({
  check,
  isOpen: (workflowId) => {
    signal.throwIfAborted();
    return isOpen(workflowId);
  },
});

function present({ audited, leftOut, startedAt, finishedAt }: Verdict): VerdictBody {
  const { findings, inProgress, unknown, overfull, notes } = audited;
  const looked = new Map(audited.invariants.map((one) => [one.id, one]));
  return {
    verdict: verdictOf(audited, leftOut.size),
    startedAt: startedAt.toISOString(),
    finishedAt: finishedAt.toISOString(),
    invariants: INVARIANT_IDS.map((id) => {
      const { looked: rows = 0, findings: broken = 0 } = looked.get(id) ?? {};
      const why = leftOut.get(id);
      return { id, states: INVARIANTS[id], looked: rows, findings: broken, ...(why !== undefined && { leftOut: why }) };
    }),
    found: { findings: findings.length, inProgress: inProgress.length, unknown: unknown.length },
    findings: findings.slice(0, MOST_SHOWN).map(shown),
    inProgress: inProgress
      .slice(0, MOST_SHOWN)
      .map(({ workflows, ...one }) => ({ ...shown(one), workflows: [...workflows] })),
    unknown: unknown.slice(0, MOST_SHOWN).map(shown),
    overfull: [...overfull],
    notes: [...notes],
  };
}

function verdictOf(audited: Audited, leftOut: number): VerdictBody['verdict'] {
  if (audited.findings.length > 0) return 'BROKEN';
  return isClean(audited) && leftOut === 0 ? 'CLEAN' : 'INCOMPLETE';
}

const shown = ({ invariant, row, orderId, is, shouldBe }: Finding) => ({ invariant, row, orderId, is, shouldBe });
