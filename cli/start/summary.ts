import { randomUUID } from 'node:crypto';
import { join } from 'node:path';

import { decodeJwt } from 'jose';

import { orderIdFor } from '../../events/ids.ts';
import type { Endpoints } from '../../infra/endpoints.ts';

/** Two products of the seed that are plentiful. */
const SAMPLE_LINES = [
  { productId: '101', variantId: '1011', quantity: 1 },
  { productId: '102', quantity: 2 },
];

type Circumstances = Readonly<{
  dataDir: string;
  /** How long the start took. */
  seconds: number;
  /** The platform holds nothing: no order can be placed before it is filled. */
  empty: boolean;
}>;

/** Everything a person needs to go on, as text: where the parts are, the tokens, and two commands to paste. */
export function summary(endpoints: Omit<Endpoints, 'pids'>, { dataDir, seconds, empty }: Circumstances): string {
  const { api, docs, temporalUi, temporalAddress, gateway, metrics, databases, tokens } = endpoints;
  const rows: [string, string][] = [
    ['API', api],
    ...(docs === undefined ? [] : [['API documents', docs] satisfies [string, string]]),
    ['Temporal Web', temporalUi ?? '(not known: set TEMPORAL_UI_URL)'],
    ['Temporal', `${temporalAddress} (namespace ${endpoints.namespace})`],
    ['Payment gateway', gateway ?? '(the provider of PAYMENT_PROVIDER)'],
    ...(metrics === undefined ? [] : [['Metrics', metrics] satisfies [string, string]]),
    ['PostgreSQL', withoutPassword(databases.platform)],
    ['Logs', join(dataDir, 'logs')],
    ['Data', `${dataDir} (URLs and tokens for programs: endpoints.json)`],
  ];
  const wide = Math.max(...rows.map(([name]) => name.length));
  const table = rows.map(([name, value]) => `  ${name.padEnd(wide)}  ${value}`).join('\n');
  const parts = [`Ready in ${seconds.toFixed(1)} s. Ctrl-C stops everything; the data stay.`, table];
  if (empty) parts.push('The catalogue is empty, so there is nothing to order. `npm run seed` fills it.');
  if (tokens === undefined) parts.push('Tokens come from your identity provider (JWKS_URL).');
  else parts.push(`${tokenLines(tokens)}\n\n${orderCommands(api, tokens.customer)}`);
  return `\n${parts.join('\n\n')}\n`;
}

function tokenLines({ customer, otherCustomer, admin }: NonNullable<Endpoints['tokens']>): string {
  return [`Customer token:\n${customer}`, `Other customer's token:\n${otherCustomer}`, `Admin token:\n${admin}`].join(
    '\n',
  );
}

/** A fresh key each time: pasting twice shows the repeat, starting again places a new order. */
function orderCommands(api: string, token: string): string {
  const key = randomUUID();
  const orderId = orderIdFor('/v1/checkouts', decodeJwt(token).sub ?? '', key); // the API names it the same way
  const body = JSON.stringify({ items: SAMPLE_LINES, payment: { method: 'card', token: 'tok_ok' } });
  return [
    'Place an order of two lines (paste it twice: the same key never buys twice):',
    `curl -sS -X POST ${api}/v1/checkouts \\`,
    `  -H 'Authorization: Bearer ${token}' \\`,
    `  -H 'Idempotency-Key: ${key}' -H 'Content-Type: application/json' \\`,
    `  -d '${body}'`,
    'Then look at it:',
    `curl -sS ${api}/v1/orders/${orderId} -H 'Authorization: Bearer ${token}'`,
  ].join('\n');
}

function withoutPassword(url: string): string {
  const { host } = new URL(url);
  return `${host} (passwords: endpoints.json)`;
}
