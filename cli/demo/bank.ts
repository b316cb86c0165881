import { ShopIsClosed } from './shop.ts';

const CALL_LIMIT_MS = 20_000;

/** What shoppers do at their banks, played through the simulated gateway's controls. */
export type Bank = Readonly<{
  /** @param late the money was sent in time, and arrives when the account is closed */
  transfer: (account: string, late?: boolean) => Promise<void>;
  /** The page that the shopper was sent to: the button that is pressed there. */
  press: (pageUrl: string, outcome: 'approve' | 'decline') => Promise<void>;
}>;

/** @param gatewayUrl of the simulated gateway; its controls exist outside of production only */
export const openBank = (gatewayUrl: string): Bank => ({
  transfer: (account, late = false) =>
    send(new URL('/transfers', gatewayUrl), 'application/json', JSON.stringify({ account, late })),
  press: (pageUrl, outcome) =>
    send(new URL(pageUrl), 'application/x-www-form-urlencoded', new URLSearchParams({ outcome }).toString()),
});

async function send(url: URL, contentType: string, body: string): Promise<void> {
  const headers = { 'Content-Type': contentType };
  const signal = AbortSignal.timeout(CALL_LIMIT_MS);
  const answer = await fetch(url, { method: 'POST', headers, body, signal, redirect: 'manual' }).catch(
    (error: unknown) => {
      throw new ShopIsClosed(`the gateway at ${url.origin} cannot be used: is \`npm start\` running?`, {
        cause: error,
      });
    },
  );
  if (answer.status >= 400) throw new ShopIsClosed(`${url.pathname} of the gateway answers ${answer.status}`);
}
