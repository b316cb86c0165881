import { CheckoutError } from '../domain/errors.ts';
import { rebuildWorkflowId } from '../domain/workflow-ids.ts';
import { readViewLags } from '../projections/progress.ts';
import { readRebuilds } from '../projections/rebuild-row.ts';
import { VIEW_NAMES, type ViewName } from '../projections/view.ts';
import { QUEUES, REBUILD_WORKFLOW } from '../workflows/contract.ts';
import { getView, listViews, rebuildView, type ViewBody } from './contract/views.ts';
import type { ApiDeps } from './deps.ts';
import { READ_LIMIT_MS, within } from './outage.ts';
import { workflowLink } from './present.ts';
import { type Route, route } from './routes.ts';
import { starting } from './starting.ts';

const ROUTE = listViews.path;
const START_LIMIT_MS = 5_000;

/** How far each view is, and the wish that one is built anew from the events. */
export function viewRoutes({ databases: { views }, temporal, links }: ApiDeps): readonly Route[] {
  const read = async (): Promise<readonly ViewBody[]> => {
    const [lags, rebuilds] = await within(READ_LIMIT_MS, Promise.all([readViewLags(views), readRebuilds(views)]));
    return VIEW_NAMES.map((name) => shown(name, lags[name], rebuilds[name]));
  };
  return [
    route(listViews, async (_req, res) => {
      res.set('Cache-Control', 'no-store').json({ items: await read() });
    }),
    route(getView, async (req, res) => {
      const name = nameIn(req.params['name']);
      res.set('Cache-Control', 'no-store').json((await read()).find((view) => view.name === name));
    }),
    route(rebuildView, async (req, res) => {
      const name = nameIn(req.params['name']);
      const workflowId = rebuildWorkflowId(name);
      // Asked twice it is one rebuild, so a start of which nobody knows is no harm either.
      await starting(temporal, () =>
        temporal.connection.withDeadline(Date.now() + START_LIMIT_MS, () =>
          temporal.client.workflow.start(REBUILD_WORKFLOW, {
            ...{ taskQueue: QUEUES.checkout, workflowId, args: [{ view: name }] },
            ...{ workflowIdConflictPolicy: 'USE_EXISTING', staticSummary: `rebuild of the view ${name}` },
          }),
        ),
      );
      res
        .status(202)
        .location(`${ROUTE}/${name}`)
        .json({ view: name, workflowId, links: { self: `${ROUTE}/${name}`, ...workflowLink(workflowId, links) } });
    }),
  ];
}

type Rebuilds = Awaited<ReturnType<typeof readRebuilds>>;

/** `done`: of the past, from 0 to 1. A rebuild that does not run was cut off, and goes on when it is asked for again. */
const shown = (name: ViewName, lagMs: number | null, { rebuiltAt, rebuild }: Rebuilds[ViewName]): ViewBody => ({
  name,
  lagMs: lagMs === null ? null : Math.round(lagMs),
  rebuiltAt: rebuiltAt?.toISOString() ?? null,
  rebuild: rebuild && { ...rebuild, startedAt: rebuild.startedAt.toISOString() },
});

function nameIn(param: unknown): ViewName {
  const name = VIEW_NAMES.find((known) => known === param);
  if (name === undefined) throw new CheckoutError('NOT_FOUND', 'there is no such view');
  return name;
}
