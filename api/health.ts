import { getHealth, getReadiness } from './contract/system.ts';
import type { ApiDeps } from './deps.ts';
import { within } from './outage.ts';
import { type Route, route } from './routes.ts';

/** The longest that one dependency may take to answer, milliseconds. All are asked at once. */
const CHECK_LIMIT_MS = 2_000;

/**
 * `/healthz`: this process answers. `/readyz`: so does everything it needs, each by name, and it was not asked to stop.
 */
export function healthRoutes({
  databases,
  temporal,
  log,
  stopping,
}: Pick<ApiDeps, 'databases' | 'temporal' | 'log' | 'stopping'>): readonly Route[] {
  const { platform, order, payment, views } = databases;
  const checks: Readonly<Record<string, () => Promise<unknown>>> = {
    platformDatabase: () => within(CHECK_LIMIT_MS, platform.$queryRaw`select 1`),
    orderDatabase: () => within(CHECK_LIMIT_MS, order.$queryRaw`select 1`),
    paymentDatabase: () => within(CHECK_LIMIT_MS, payment.$queryRaw`select 1`),
    viewsDatabase: () => within(CHECK_LIMIT_MS, views.$queryRaw`select 1`),
    // Awaited to its end, which comes with the client's last retry, up to two seconds after the deadline: a retry that
    // is still planned when the connection closes ends the process.
    temporal: () =>
      temporal.connection.withDeadline(Date.now() + CHECK_LIMIT_MS, () => temporal.connection.healthService.check({})),
  };

  const look = () =>
    Promise.all(
      Object.entries(checks).map(async ([name, check]) => {
        try {
          await check();
          return [name, 'up'] as const;
        } catch (error) {
          log.warn({ err: error, dependency: name }, 'not ready');
          return [name, 'down'] as const;
        }
      }),
    );
  let looking: ReturnType<typeof look> | undefined;

  return [
    route(getHealth, (_req, res) => {
      res.json({ status: 'ok' });
    }),
    route(getReadiness, async (_req, res) => {
      // Nobody says who he is here, nor how often he may ask: all who ask at once get one look, which costs as much as one.
      const states = await (looking ??= look().finally(() => (looking = undefined)));
      const ready = !stopping.aborted && states.every(([, state]) => state === 'up');
      res
        .status(ready ? 200 : 503)
        .set('Cache-Control', 'no-store')
        .json({ status: ready ? 'ready' : 'not ready', dependencies: Object.fromEntries(states) });
    }),
  ];
}
