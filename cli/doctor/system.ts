import { type Config, type DatabaseName, DATABASES } from '../../infra/config.ts';
import { externalDatabases } from '../../infra/embedded/supervisor/environment.ts';
import { findTemporalCli } from '../../infra/embedded/temporal-cli.ts';
import { type Endpoints, withEndpoints } from '../../infra/endpoints.ts';
import { migrationState } from '../../infra/migrate.ts';
import { openPaymentGateway, webhookReaders } from '../../infra/payment-gateway/providers.ts';
import { blocks, type Check, notice, ok, problem } from './check.ts';
import { loadTemporal } from './temporal.ts';

const HTTP_LIMIT_MS = 5_000;

/** The binary that the embedded Temporal needs; finding it may download it. */
export async function checkTemporalProgram(config: Config): Promise<Check> {
  const name = 'Temporal program';
  if (config.externalTemporal) return notice(name, 'not needed: TEMPORAL_ADDRESS is set');
  const { path, source, version } = await findTemporalCli({
    temporalCliPath: config.temporalCliPath,
    report: () => undefined,
  });
  return ok(name, `${version} from ${source} (${path})`);
}

/** Every database: answers, and has all migrations. */
export async function checkDatabases(config: Config, running: Endpoints | undefined): Promise<Check[]> {
  const name = 'Databases';
  if (running === undefined) {
    try {
      if (externalDatabases(config) === undefined) return [notice(name, 'embedded; `npm start` starts them')];
    } catch (error) {
      const why = error instanceof Error ? error.message : String(error);
      return [blocks(name, why, 'Set all of the *_DATABASE_URL variables, or none.')];
    }
  }
  const { databaseUrls } = withEndpoints(config, running);
  const given = DATABASES.flatMap((database) => {
    const url = databaseUrls[database];
    return url === undefined ? [] : [{ database, url, own: config.databaseUrls[database] !== undefined }];
  });
  return Promise.all(given.map(({ database, url, own }) => checkDatabase(database, url, own)));
}

async function checkDatabase(database: DatabaseName, url: string, external: boolean): Promise<Check> {
  const name = `Database ${database}`;
  const bad = external ? blocks : problem;
  const variable = `${database.toUpperCase()}_DATABASE_URL`;
  try {
    const { pending, failed, edited } = await migrationState(database, url);
    const trouble = [...failed.map((one) => `${one} failed`), ...edited.map((one) => `${one} was edited`)];
    if (trouble.length > 0) return bad(name, trouble.join(', '), troubleFix(database, edited, external));
    if (pending.length > 0) {
      return problem(name, `${pending.length} migrations are pending`, `Run \`npm run migrate -- ${database}\`.`);
    }
    return ok(name, `${new URL(url).host}, all migrations applied`);
  } catch (error) {
    const why = error instanceof Error ? (error.message.split('\n')[0] ?? '') : String(error);
    const fix = external ? `Correct ${variable}, or start that server.` : 'Run `npm start` again.';
    return bad(name, `does not answer: ${why}`, fix);
  }
}

function troubleFix(database: DatabaseName, edited: readonly string[], external: boolean): string {
  if (edited.length > 0) return 'Restore the file, and put the change into a new migration.';
  return external ? `Run \`npm run migrate -- ${database} --retry-failed\`.` : 'Run `npm start` again.';
}

/** The Temporal server: the one of the environment, or the running one. */
export async function checkTemporal(config: Config, running: Endpoints | undefined): Promise<Check> {
  const name = 'Temporal';
  if (!config.externalTemporal && running === undefined) return notice(name, 'embedded; `npm start` starts it');
  const bad = config.externalTemporal ? blocks : problem;
  const fix = config.externalTemporal ? 'Correct TEMPORAL_ADDRESS, or start that server.' : 'Run `npm start` again.';
  const { address, check } = loadTemporal(config, running);
  try {
    await check();
    return ok(name, address);
  } catch (error) {
    return bad(name, `${address} does not answer: ${error instanceof Error ? error.message : String(error)}`, fix);
  }
}

/** The payment gateway's own health page. A real provider's has none, so only an answer of any kind is asked for. */
export async function checkGateway(config: Config, running: Endpoints | undefined): Promise<Check> {
  const name = 'Payment gateway';
  const trouble = await providerTrouble(config);
  if (trouble !== undefined) return blocks(name, trouble, 'Correct it in the environment or in .env.');
  if (config.paymentProvider !== 'simulated') return ok(name, `${config.paymentProvider}, with its key and secrets`);
  const { gatewayUrl } = withEndpoints(config, running);
  if (gatewayUrl === undefined) return notice(name, 'simulated; `npm start` starts it');
  const url = new URL('/healthz', gatewayUrl);
  try {
    const { status } = await fetch(url, { signal: AbortSignal.timeout(HTTP_LIMIT_MS) });
    if (status < 500) return ok(name, gatewayUrl);
    return problem(name, `${gatewayUrl} answers ${status}`, 'Look at its log.');
  } catch (error) {
    const external = config.gatewayUrl !== undefined;
    const fix = external ? 'Correct GATEWAY_URL, or start that gateway.' : 'Look at logs/gateway.log in DATA_DIR.';
    return (external ? blocks : problem)(name, `${gatewayUrl} does not answer: ${causeOf(error)}`, fix);
  }
}

/** Why the workers or the API would refuse to start with these settings; no key is tried. */
async function providerTrouble(config: Config): Promise<string | undefined> {
  try {
    await webhookReaders(config);
    if (config.paymentProvider !== 'simulated') await openPaymentGateway(config);
    return undefined;
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
}

/** What the API itself says about everything it needs. */
export async function checkApi(running: Endpoints | undefined): Promise<Check> {
  const name = 'API';
  if (running === undefined) return notice(name, 'not running: `npm start` starts it');
  const fix = 'Look at logs/api.log in DATA_DIR.';
  try {
    const response = await fetch(`${running.api}/readyz`, { signal: AbortSignal.timeout(HTTP_LIMIT_MS) });
    const body = await response.text();
    return response.ok ? ok(name, `${running.api} is ready`) : problem(name, `not ready: ${body}`, fix);
  } catch (error) {
    return problem(name, `${running.api} does not answer: ${causeOf(error)}`, fix);
  }
}

/** `fetch` hides the reason in the cause. */
function causeOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  return error.cause instanceof Error ? error.cause.message : error.message;
}
