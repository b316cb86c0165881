import { createHash } from 'node:crypto';

import { type Request, Router, urlencoded } from 'express';

import type { Databases } from '../infra/databases.ts';
import { GatewayError } from './answers.ts';
import type { ChargeJson } from './charges.ts';
import { lockCharge } from './charges.ts';
import { authorizeBody, parse, providerIdOf } from './requests.ts';
import { authorize } from './shopper.ts';

const STYLE = `body{font:1.1rem/1.5 system-ui,sans-serif;max-width:32rem;margin:4rem auto;padding:0 1rem;color:#1b1b1f;background:#fff}
button{font:inherit;padding:.6rem 1.4rem;margin:0 .6rem .6rem 0;border:2px solid #1b1b1f;border-radius:.4rem;background:#fff;color:#1b1b1f;cursor:pointer}
button[value=approve]{background:#0b5c2e;border-color:#0b5c2e;color:#fff}`;
/** The page may load nothing, be framed by nobody, and send its form only to us. */
const CSP = `default-src 'none'; style-src 'sha256-${createHash('sha256').update(STYLE).digest('base64')}'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'`;
const LARGEST_FORM = '1kb';

/** Where the owner of a card agrees to a payment, or does not. Not mounted in production. */
export function pageRoutes(db: Databases['gateway'], changed: () => void): Router {
  const routes = Router();

  routes.get('/pay/:id', async (req, res) => {
    const providerId = providerIdOf(req);
    const charge = await db.$transaction((tx) => lockCharge(tx, providerId));
    if (charge === undefined) throw new GatewayError('unknown_charge', 'there is no such charge');
    res
      .set('content-security-policy', CSP)
      .set('x-content-type-options', 'nosniff')
      .set('referrer-policy', 'same-origin') // with `no-referrer` browsers would hide where the form comes from
      .set('cache-control', 'no-store')
      .type('html')
      .send(pageOf(charge));
  });

  routes.post('/pay/:id', urlencoded({ extended: false, limit: LARGEST_FORM, inflate: false }), async (req, res) => {
    const providerId = providerIdOf(req);
    refuseOtherPages(req);
    const { outcome } = parse(authorizeBody, { ...(req.body as Record<string, unknown> | undefined) });
    try {
      await authorize(db, providerId, outcome);
      changed();
    } catch (error) {
      // The page shows how the charge has ended meanwhile.
      if (!(error instanceof GatewayError && error.code === 'not_awaiting_payment')) throw error;
    }
    res.redirect(303, `/pay/${providerId}`);
  });

  return routes;
}

/** A page of somebody else must not press our buttons. Whoever says nothing of a page is no browser. */
function refuseOtherPages(req: Request): void {
  const [site, origin] = [req.get('sec-fetch-site'), req.get('origin')];
  const isOurs =
    site === undefined ? origin === undefined || hostOf(origin) === req.get('host') : OUR_SITES.includes(site);
  if (!isOurs) throw new GatewayError('cross_site', 'only the page of the bank may send this');
}

/** The page itself, or a person by hand. Another port of the same host is `same-site`, and somebody else. */
const OUR_SITES: readonly string[] = ['same-origin', 'none'];

const hostOf = (origin: string): string | undefined => (URL.canParse(origin) ? new URL(origin).host : undefined);

function pageOf(charge: ChargeJson): string {
  const { amount, orderId, method, status } = charge;
  const asks = method === 'card' && status === 'requires_confirmation';
  const rest = asks
    ? `<form method="post"><button name="outcome" value="approve">Approve</button><button name="outcome" value="decline">Decline</button></form>`
    : `<p>This payment is <strong>${escaped(status.replaceAll('_', ' '))}</strong>. You can close this page.</p>`;
  return `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>Confirm your payment</title><style>${STYLE}</style></head>
<body><main><h1>Confirm your payment</h1>
<p>${escaped(amountText(amount.minor, amount.currency))} for order ${escaped(orderId)}, at the simulated bank. No real money moves.</p>
${rest}</main></body></html>
`;
}

/** As people write it: minor units are placed as the currency has them. */
function amountText(minor: number, currency: string): string {
  const format = new Intl.NumberFormat('en', { style: 'currency', currency });
  return format.format(minor / 10 ** (format.resolvedOptions().maximumFractionDigits ?? 0));
}

const ENTITY = new Map([
  ['&', '&amp;'],
  ['<', '&lt;'],
  ['>', '&gt;'],
  ['"', '&quot;'],
  ["'", '&#39;'],
]);
const escaped = (text: string): string => text.replace(/[&<>"']/g, (character) => ENTITY.get(character) ?? character);
