import { randomUUID } from 'node:crypto';

import { Command, InvalidArgumentError } from 'commander';
import pLimit from 'p-limit';

import { isClean } from '../infra/audit/audit.ts';
import { CannotLook } from '../infra/audit/snapshot.ts';
import { type Config, ConfigError, readConfig } from '../infra/config.ts';
import { findEndpoints, NothingIsRunning, readEndpoints } from '../infra/endpoints.ts';
import { signToken } from '../infra/tokens.ts';
import { users } from '../prisma/seed/catalogue.ts';
import { reportOf as auditReportOf, verdictOf } from './audit/report.ts';
import { auditSystem } from './audit/system.ts';
import { openBank } from './demo/bank.ts';
import { progressBar } from './demo/progress.ts';
import { seededRandom } from './demo/random.ts';
import { reportOf, surprises, type Visited } from './demo/report.ts';
import { mixOf, type Need, type Scenario, SCENARIOS, shownWith } from './demo/scenarios.ts';
import { openShop, type Shelf, ShopIsClosed } from './demo/shop.ts';
import type { Visit } from './demo/visit.ts';

/** How many seeded users shop. */
const CUSTOMERS = 20;
/** So much of a shelf must be left for it to count as well filled. */
const WELL_FILLED = 50;

type Options = Readonly<{
  orders: number;
  concurrency: number;
  seed: number;
  api?: string;
  token: string[];
  adminToken?: string;
}>;

const shares = SCENARIOS.map(({ name, share }) => `  ${`${share} %`.padStart(5)}  ${name}`).join('\n');
const program = new Command('demo')
  .description('Sends shoppers through the running system over HTTP, and checks how each of them fared.')
  .option('--orders <n>', 'how many shoppers', count, 40)
  .option('--concurrency <n>', 'how many at once', count, 8)
  .option('--seed <n>', 'for the same shoppers and carts again', count, 1)
  .option('--api <url>', 'base URL of the API (or API_URL); default: what `npm start` runs')
  .option('--token <jwt>', 'bearer token of a customer, may be repeated (or API_TOKENS)', collect, [])
  .option('--admin-token <jwt>', 'bearer token of an administrator; default: what `npm start` wrote')
  .addHelpText(
    'after',
    `\nThe shoppers:\n${shares}\n\nExit code 1 when one of them fared otherwise than expected, or the audit finds something broken.`,
  );

program.parse();
try {
  process.exitCode = await demo(program.opts<Options>());
} catch (error) {
  const known = error instanceof ShopIsClosed || error instanceof NothingIsRunning || error instanceof ConfigError;
  if (!known) throw error;
  process.stderr.write(`demo: ${error.message}\n`);
  process.exitCode = 1;
}

/** @returns the exit code */
async function demo({ orders, concurrency, seed, api, token, adminToken }: Options): Promise<number> {
  const config = readConfig();
  const address = api ?? config.apiUrl ?? readEndpoints(config.dataDir).api;
  const tokens = await tokensOf(config, token);
  const shop = openShop(address);
  const random = seededRandom(seed);
  const shelves = await shop.shelves();
  const outside = outsideOf(config, address, adminToken);
  const shared = {
    shop,
    bank: openBank(outside.gatewayUrl ?? address),
    deskToken: outside.deskToken ?? '',
    shelves: wellFilled(shelves),
    scarce: scarceIn(shelves),
  };

  process.stdout.write(`${orders} shoppers at ${address}, ${concurrency} at once, seed ${seed}\n`);
  const scenarios = shownWith(outside.has);
  const left = SCENARIOS.filter((scenario) => !scenarios.includes(scenario)).map(({ name }) => name);
  if (left.length > 0) {
    process.stdout.write(`left out without GATEWAY_URL and --admin-token: ${left.join(', ')}\n`);
  }
  const run = randomUUID();
  const bar = progressBar(orders, process.stdout);
  const limit = pLimit(concurrency);
  const plan = random.shuffled(mixOf(scenarios, orders)).map((scenario, index) => {
    // Its own chance per shopper: who is faster must not change what the others buy.
    const chance = seededRandom(seed * 1_000_003 + index);
    const visit = { ...shared, random: chance, token: chance.pick(tokens), key: `demo-${run}-${index}` };
    return limit(async () => {
      const visited = await visitOf(scenario, visit);
      bar.step();
      return visited;
    });
  });
  const visits = await Promise.all(plan);

  process.stdout.write(`\n${reportOf(visits)}\n\n`);
  const wrong = surprises(visits);
  if (wrong.length === 0) process.stdout.write(`All ${orders} fared as expected.\n`);
  for (const { scenario, seen, expected } of wrong) {
    process.stderr.write(`demo: ${scenario}: expected ${expected}, saw ${seen}\n`);
  }
  const sound = await auditAfter(config, address);
  return wrong.length === 0 && sound ? 0 : 1;
}

/** What some scenarios need beside the API: where shoppers' banks are played, and a token of the desk. */
function outsideOf(config: Config, address: string, adminToken: string | undefined) {
  const endpoints = findEndpoints(config.dataDir);
  const own = endpoints?.api === address ? endpoints : undefined;
  const gatewayUrl = config.gatewayUrl ?? own?.gateway;
  const deskToken = adminToken ?? own?.tokens?.admin;
  const has: Need[] = [
    ...(gatewayUrl !== undefined && config.paymentProvider === 'simulated' ? (['bank'] as const) : []),
    ...(deskToken !== undefined ? (['desk'] as const) : []),
  ];
  return { gatewayUrl, deskToken, has };
}

/** The audit's verdict on what the shoppers left behind. @returns false when something is broken or cannot be seen */
async function auditAfter(config: Config, address: string): Promise<boolean> {
  if (config.databaseUrls.platform === undefined && findEndpoints(config.dataDir)?.api !== address) {
    process.stdout.write(
      `audit: not done, only the API of ${address} is known here: run \`npm run audit\` beside it.\n`,
    );
    return true;
  }
  try {
    const audited = await auditSystem(config);
    const clean = isClean(audited);
    process.stdout.write(`${clean ? verdictOf(audited) : auditReportOf(audited)}\n`);
    return clean;
  } catch (error) {
    if (!(error instanceof CannotLook)) throw error;
    process.stderr.write(`audit: ${error.message}\n`);
    return false;
  }
}

async function visitOf({ name, expected, visit }: Scenario, context: Visit): Promise<Visited> {
  const since = performance.now();
  const common = { scenario: name, expected };
  try {
    const seen = await visit(context);
    return { ...common, ...seen, endedMs: performance.now() - since };
  } catch (error) {
    if (!(error instanceof ShopIsClosed)) throw error;
    const lostMs = performance.now() - since;
    return { ...common, seen: `no answer: ${error.message}`, placedMs: lostMs, endedMs: lostMs };
  }
}

/** Given tokens; else tokens of seeded users, signed with the development key; else those that `npm start` wrote. */
async function tokensOf(config: Config, given: readonly string[]): Promise<readonly string[]> {
  if (given.length > 0) return given;
  if (config.apiTokens.length > 0) return config.apiTokens;
  const endpoints = findEndpoints(config.dataDir);
  if (endpoints === undefined || config.jwt.jwksUrl !== undefined) {
    throw new ConfigError('whose orders are these? Give --token, or set API_TOKENS to tokens of customers.');
  }
  const customers = users().filter(({ status }) => status === 'ACTIVE');
  const ids = customers.slice(0, CUSTOMERS).map(({ id }) => String(id));
  return Promise.all(ids.map((sub) => signToken(config, { sub, role: 'customer', expires: '1h' })));
}

/** Shelves that many shoppers can take from, of the currency that most of them have: a cart has one. */
function wellFilled(shelves: readonly Shelf[]): Shelf[] {
  if (shelves.length === 0) throw new ShopIsClosed('the catalogue is empty: run `npm run seed`.');
  const filled = shelves.filter(({ available }) => available >= WELL_FILLED);
  const currencies = filled.map(({ currency }) => currency);
  const counts = [...new Set(currencies)].map((name) => ({ name, n: currencies.filter((c) => c === name).length }));
  const [most] = counts.sort((a, b) => b.n - a.n);
  if (most === undefined) throw new ShopIsClosed('the shelves are empty: run `npm start -- --reset` for fresh stock.');
  return filled.filter(({ currency }) => currency === most.name);
}

function scarceIn(shelves: readonly Shelf[]): Shelf {
  const [least] = [...shelves].sort((a, b) => a.available - b.available);
  if (least === undefined) throw new ShopIsClosed('the shelves are empty.');
  return least;
}

function count(text: string): number {
  if (!/^[1-9]\d{0,5}$/.test(text)) throw new InvalidArgumentError('a whole number above 0.');
  return Number(text);
}

function collect(value: string, earlier: string[]): string[] {
  return [...earlier, value];
}
