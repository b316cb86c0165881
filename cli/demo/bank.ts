import { ShopIsClosed } from './shop.ts';

const CALL_LIMIT_MS = 20_000;

/** What shoppers and the gateway do at the banks, played through the simulated gateway's controls. */
export type Bank = Readonly<{
  /** @param late the money was sent in time, and arrives when the account is closed */
  transfer: (account: string, late?: boolean) => Promise<void>;
  /** The page that the shopper was sent to: the button that is pressed there. */
  press: (pageUrl: string, outcome: 'approve' | 'decline') => Promise<void>;
  /** The next time that this order's account is to be closed, or its money to be given back, the answer is a final "no". */
  refuseNext: (call: 'cancel' | 'refund', orderId: string) => Promise<void>;
}>;

/** @param gatewayUrl of the simulated gateway; its controls exist outside of production only */
export const openBank = (gatewayUrl: string): Bank => ({
  transfer: (account, late = false) =>
    send('POST', new URL('/transfers', gatewayUrl), JSON.stringify({ account, late })),
  press: (pageUrl, outcome) => send('POST', new URL(pageUrl), new URLSearchParams({ outcome })),
  refuseNext: (route, orderId) =>
    send('PUT', new URL('/faults', gatewayUrl), JSON.stringify({ kind: 'refuse', route, orderId })),
});

/** @param body a form, or JSON as text */
async function send(method: 'POST' | 'PUT', url: URL, body: URLSearchParams | string): Promise<void> {
  const headers = new Headers(typeof body === 'string' ? { 'Content-Type': 'application/json' } : undefined);
  const signal = AbortSignal.timeout(CALL_LIMIT_MS);
  const answer = await fetch(url, { method, headers, body, signal, redirect: 'manual' }).catch((error: unknown) => {
    throw new ShopIsClosed(`the gateway at ${url.origin} cannot be used: is \`npm start\` running?`, { cause: error });
  });
  if (answer.status >= 400) throw new ShopIsClosed(`${url.pathname} of the gateway answers ${answer.status}`);
}
