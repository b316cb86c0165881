import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer, type RequestListener, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';

import { GatewayOutage } from '../../infra/payment-gateway/outage.ts';
import { GatewayRefusal } from '../../infra/payment-gateway/port.ts';
import { simulatedGateway } from '../../infra/payment-gateway/simulated.ts';

const CHARGE = {
  providerId: 'ch_1',
  status: 'captured',
  captured: { minor: 5, currency: 'KRW' },
  refundedMinor: 0,
  declineCode: null,
  instructions: null,
};

const WAITS = { status: 'requires_confirmation', captured: null };
const PAGE = { type: 'redirect', url: 'https://bank.example/pay/1' };
const ACCOUNT = { type: 'bank_transfer', bank: 'A bank', account: '110-1', reference: 'R1' };

const says =
  (status: number, body: unknown, headers: Record<string, string> = {}): RequestListener =>
  (_req, res) =>
    res.writeHead(status, headers).end(typeof body === 'string' ? body : JSON.stringify(body));

describe('answers that no honest gateway gives', function () {
  this.timeout(30_000);
  let server: Server | undefined;

  /** The client's verdict on `confirm` of charge `ch_1` when a server answers so. */
  const confirmAgainst = async (answer: RequestListener, timeoutMs = 2_000) => {
    server = createServer(answer).listen(0, '127.0.0.1');
    await once(server, 'listening');
    const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
    return simulatedGateway({ url, timeoutMs, maxProcessingMs: 1 }).confirm('o-1', 'ch_1', {
      method: 'card',
      token: 'tok_ok',
    });
  };
  const inDoubt = (message: string, retryAfterMs?: number) => (error: unknown) => {
    assert.ok(error instanceof GatewayOutage, String(error));
    assert.deepEqual([error.message, error.retryAfterMs], [message, retryAfterMs]);
    return true;
  };

  afterEach(async () => {
    if (server === undefined) return;
    const closed = once(server, 'close');
    server.close();
    server.closeAllConnections();
    await closed;
    server = undefined;
  });

  it('an honest answer, with fields that we do not know, is believed', async () => {
    assert.deepEqual(await confirmAgainst(says(200, { ...CHARGE, more: true })), CHARGE);
  });

  it('a body over 64 KiB is cut, also when it never ends', async () => {
    let sent = 0;
    const endless: RequestListener = (_req, res) => {
      const pour = (): void => {
        while (!res.destroyed && res.write(' '.repeat(8_192))) sent += 8_192;
      };
      res.writeHead(200).on('drain', pour);
      pour();
    };
    const message = 'gateway confirm: the answer is larger than 65536 bytes after HTTP 200';
    await assert.rejects(confirmAgainst(endless), inDoubt(message));
    assert.ok(sent < 16 * 1024 * 1024, `${sent} bytes were taken`);
  });

  it('a body that trickles is cut by the time limit of the whole call', async () => {
    const trickling: RequestListener = (_req, res) => {
      const timer = setInterval(() => res.write(' '), 50);
      res.writeHead(200).once('close', () => clearInterval(timer));
    };
    const message = 'gateway confirm: no answer within 400 ms after HTTP 200';
    await assert.rejects(confirmAgainst(trickling, 400), inDoubt(message));
  });

  for (const [name, body, field] of [
    ['captured without an amount', { ...CHARGE, captured: null }, 'charge'],
    ['an amount without a capture', { ...CHARGE, status: 'open' }, 'charge'],
    ['more refunded than captured', { ...CHARGE, refundedMinor: 6 }, 'charge'],
    ['an amount beyond the safe integers', { ...CHARGE, captured: { minor: 2 ** 53, currency: 'KRW' } }, 'captured'],
    ['a status that we do not know', { ...CHARGE, status: 'paid' }, 'status'],
    ['a wait for the shopper without instructions', { ...CHARGE, ...WAITS }, 'charge'],
    ['instructions for what is paid', { ...CHARGE, instructions: PAGE }, 'charge'],
    [
      'a page that is a script',
      { ...CHARGE, ...WAITS, instructions: { ...PAGE, url: 'javascript:1' } },
      'instructions',
    ],
    ['an account full of markup', { ...CHARGE, ...WAITS, instructions: { ...ACCOUNT, bank: '<b>' } }, 'instructions'],
    ['an account without a number', { ...CHARGE, ...WAITS, instructions: { ...ACCOUNT, account: '' } }, 'instructions'],
    ['an empty object', {}, 'providerId'],
    ['null', null, 'charge'],
  ] as const) {
    it(`${name} is no charge: in doubt`, async () => {
      await assert.rejects(confirmAgainst(says(200, body)), (error: unknown) => {
        assert.ok(error instanceof GatewayOutage, String(error));
        assert.match(error.message, new RegExp(`the answer is not a charge \\(.*${field}`));
        return true;
      });
    });
  }

  it('instructions as they should be are believed', async () => {
    for (const instructions of [PAGE, ACCOUNT]) {
      const charge = { ...CHARGE, ...WAITS, instructions };
      assert.deepEqual(await confirmAgainst(says(200, charge)), charge);
      server?.close();
      server?.closeAllConnections();
    }
  });

  it('another charge than was asked about leaves it in doubt', async () => {
    const other = says(200, { ...CHARGE, providerId: 'ch_2' });
    await assert.rejects(confirmAgainst(other), inDoubt('gateway confirm: the answer is about another charge'));
  });

  it('a redirect is not followed', async () => {
    const message = 'gateway confirm: the connection failed';
    await assert.rejects(confirmAgainst(says(302, '', { location: 'http://127.0.0.1:1/' })), inDoubt(message));
  });

  it('a page of a proxy is an outage, whatever its status', async () => {
    const page = says(400, '<html>Bad Request</html>');
    await assert.rejects(confirmAgainst(page), inDoubt('gateway confirm: the answer is not JSON after HTTP 400'));
  });

  it('a "no" without a known code is an outage, and its text is not repeated', async () => {
    const secret = says(400, { code: 'Card of Kim', message: 'no' });
    await assert.rejects(confirmAgainst(secret), inDoubt('gateway confirm: HTTP 400'));
  });

  it('a 5xx with the code of a refusal is still an outage', async () => {
    const liar = says(500, { code: 'unknown_charge', message: 'no' });
    await assert.rejects(confirmAgainst(liar), (error) => !(error instanceof GatewayRefusal));
  });

  it('Retry-After is read as seconds or as a date, is never negative and never over an hour', async () => {
    for (const [header, expected] of [
      ['2', 2_000],
      ['99999', 3_600_000],
      [new Date(0).toUTCString(), 0],
      ['soon', undefined],
    ] as const) {
      const busy = says(503, { code: 'unavailable', message: 'later' }, { 'retry-after': header });
      await assert.rejects(confirmAgainst(busy), inDoubt('gateway confirm: HTTP 503 unavailable', expected));
      server?.close();
      server?.closeAllConnections();
    }
  });

  it('a port where nobody listens is an outage', async () => {
    const nobody = simulatedGateway({ url: 'http://127.0.0.1:1', timeoutMs: 1_000, maxProcessingMs: 1_000 });
    await assert.rejects(nobody.lookup('ch_1'), inDoubt('gateway lookup: the connection failed'));
  });
});
