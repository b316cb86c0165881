import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer, type RequestListener, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { gzipSync } from 'node:zlib';

import express from 'express';
import { type CryptoKey, exportJWK, generateKeyPair, type JWK, jwtVerify, SignJWT } from 'jose';
import { pino } from 'pino';
import supertest from 'supertest';

import { callerIn, identify, refuseBadTokens } from '../../api/auth.ts';
import { requestLimit } from '../../api/limits.ts';
import { problems } from '../../api/problem.ts';
import { requestLog } from '../../api/request-log.ts';
import { ConfigError, readConfig } from '../../infra/config.ts';
import {
  BELIEVED_MS,
  COOL_DOWN_MS,
  identityKeys,
  KEPT_MS,
  KeysUnavailable,
  RETRY_PAUSE_MS,
} from '../../infra/identity-keys.ts';
import { ownCounters } from '../../infra/request-counters.ts';
import { InvalidToken, tokenVerifier } from '../../infra/tokens.ts';

const ISSUER = 'commerce-saga';
const AUDIENCE = 'commerce-saga-api';

type Key = Readonly<{ kid: string; jwk: JWK; privateKey: CryptoKey }>;
const makeKey = async (kid: string): Promise<Key> => {
  const { publicKey, privateKey } = await generateKeyPair('ES256');
  return { kid, jwk: { ...(await exportJWK(publicKey)), kid, alg: 'ES256', use: 'sig' }, privateKey };
};
const signed = ({ kid, privateKey }: Key, header: object = {}): Promise<string> =>
  new SignJWT({ role: 'customer' })
    .setProtectedHeader({ alg: 'ES256', kid, ...header })
    .setSubject('7')
    .setIssuer(ISSUER)
    .setAudience(AUDIENCE)
    .setExpirationTime('1h')
    .sign(privateKey);

describe('keys of an identity provider', () => {
  let server: Server;
  let url: URL;
  let [old, fresh, stranger]: readonly Key[] = [];
  const keyed = (key: Key | undefined): Key => key ?? assert.fail('the keys are made before the tests');
  /** What the provider answers, and how often it was asked. */
  let answer: RequestListener;
  let asked = 0;
  const listing = (...keys: object[]): RequestListener => {
    return (_req, res) => void res.setHeader('content-type', 'application/json').end(JSON.stringify({ keys }));
  };
  const silent: RequestListener = () => undefined;

  before(async () => {
    [old, fresh, stranger] = await Promise.all(['old', 'fresh', 'stranger'].map(makeKey));
    server = createServer((req, res) => {
      asked += 1;
      answer(req, res);
    }).listen(0, '127.0.0.1');
    await once(server, 'listening');
    url = new URL(`http://127.0.0.1:${(server.address() as AddressInfo).port}/keys`);
  });
  beforeEach(() => {
    asked = 0;
    answer = listing(keyed(old).jwk);
  });
  after(async () => {
    server.closeAllConnections();
    server.close();
    await once(server, 'close');
  });

  /** The keys with a clock that the test turns. */
  const opened = () => {
    let nowMs = 0;
    const lines: string[] = [];
    const log = pino({ level: 'info' }, { write: (line: string) => void lines.push(line) });
    const keys = identityKeys(url, { now: () => nowMs, log });
    const believes = async (key: Key | undefined, header?: object): Promise<boolean> => {
      try {
        await jwtVerify(await signed(keyed(key), header), keys);
        return true;
      } catch (error) {
        if (error instanceof KeysUnavailable) throw error;
        return false;
      }
    };
    return { believes, pass: (ms: number) => void (nowMs += ms), lines };
  };

  it('are fetched once for many tokens, and at once for a key that is new', async () => {
    const { believes, pass } = opened();
    assert.deepEqual(await Promise.all([old, old, old].map((key) => believes(key))), [true, true, true]);
    assert.equal(asked, 1);
    answer = listing(keyed(old).jwk, keyed(fresh).jwk);
    pass(COOL_DOWN_MS);
    assert.ok(await believes(fresh), 'a new key has to wait although the provider has it');
    assert.ok(await believes(old));
    assert.equal(asked, 2);
  });

  it('are not fetched more often because strangers name keys that do not exist', async () => {
    const { believes, pass } = opened();
    assert.ok(await believes(old));
    for (let i = 0; i < 20; i += 1) assert.equal(await believes(stranger, { kid: `guess-${i}` }), false);
    assert.equal(asked, 1);
    pass(COOL_DOWN_MS);
    await Promise.all(Array.from({ length: 20 }, (_, i) => believes(stranger, { kid: `guess-${i}` })));
    assert.equal(asked, 2);
  });

  it('are no longer believed ten minutes after the provider took them away, even if nobody asked meanwhile', async () => {
    const { believes, pass } = opened();
    assert.ok(await believes(old));
    answer = listing(keyed(fresh).jwk);
    pass(BELIEVED_MS + 1);
    assert.equal(await believes(old), false);
    assert.ok(await believes(fresh));
  });

  it('are compared by id as it is written, and no address in a token is followed', async () => {
    const { believes } = opened();
    const odd = { ...keyed(fresh).jwk, kid: '../../etc/passwd' };
    answer = listing(odd);
    assert.ok(await believes(fresh, { kid: odd.kid }));
    for (const kid of ['/etc/passwd', './../../etc/passwd', new URL('other', url).href, '']) {
      assert.equal(await believes(fresh, { kid }), false, kid);
    }
    assert.equal(asked, 1);
    assert.equal(await believes(stranger, { jku: new URL('evil', url).href, x5u: new URL('evil', url).href }), false);
    assert.equal(await believes(stranger, { kid: odd.kid, jwk: keyed(stranger).jwk }), false);
    assert.equal(asked, 1);
  });

  const BROKEN: Readonly<Record<string, () => RequestListener>> = {
    'an error': () => (_req, res) => void res.writeHead(500).end('no'),
    'a page': () => (_req, res) => void res.end('<html>login</html>'),
    'no set': () => (_req, res) => void res.end('{"keys":{}}'),
    'a set without keys': () => listing(),
    'a set of keys that cannot be used': () =>
      listing({ kty: 'oct', k: 'c2VjcmV0', kid: 'old' }, { kty: 'EC', crv: 'P-256', x: 'x', y: 'y', kid: 'old' }),
    'a redirect': () => (_req, res) => void res.writeHead(302, { location: '/elsewhere' }).end(),
    'ten megabytes': () => (_req, res) => void res.end(`{"keys":[],"filler":"${'x'.repeat(1e7)}"}`),
    'a small body that unpacks to ten megabytes': () => (_req, res) =>
      void res.setHeader('content-encoding', 'gzip').end(gzipSync(`{"keys":[],"filler":"${'x'.repeat(1e7)}"}`)),
    'half an answer': () => (_req, res) => {
      res.writeHead(200, { 'content-length': '1000' }).write('{"keys":[');
      res.destroy();
    },
  };
  for (const [what, broken] of Object.entries(BROKEN)) {
    it(`go on when the provider answers ${what}, and nobody is refused who may be right`, async () => {
      const { believes, pass, lines } = opened();
      assert.ok(await believes(old));
      answer = broken();
      pass(BELIEVED_MS + 1);
      assert.ok(await believes(old));
      assert.ok(await believes(old), 'the second one is not told what the first one met');
      await assert.rejects(believes(fresh), KeysUnavailable);
      assert.equal(asked, 2, 'it was asked again and again, or followed to somewhere else');
      assert.equal(lines.filter((line) => line.includes('cannot be fetched')).length, 1, 'said once');

      answer = listing(keyed(fresh).jwk);
      pass(RETRY_PAUSE_MS);
      assert.ok(await believes(fresh), 'the provider is back');
      assert.match(lines.at(-1) ?? '', /fetched again/);
    });
  }

  it('go on for a day without the provider, and not longer', async () => {
    const { believes, pass } = opened();
    assert.ok(await believes(old));
    answer = (_req, res) => void res.writeHead(503).end();
    pass(KEPT_MS - 1);
    assert.ok(await believes(old));
    pass(2);
    await assert.rejects(believes(old), KeysUnavailable);
    answer = listing(keyed(old).jwk);
    pass(RETRY_PAUSE_MS);
    assert.ok(await believes(old));
  });

  it('that never come do not hold a request up, nor refuse it: 503 with Retry-After, and 401 once they are there', async function () {
    this.timeout(15_000);
    const verify = await tokenVerifier(readConfig({ NODE_ENV: 'production', JWKS_URL: url.href }));
    const app = express().use(requestLog(pino({ level: 'silent' })), identify(verify), refuseBadTokens);
    app.get('/who', (_req, res) => void res.json({ id: callerIn(res)?.id }));
    app.use(problems(pino({ level: 'silent' })));
    const ask = async (key: Key | undefined) =>
      supertest(app)
        .get('/who')
        .set('Authorization', `Bearer ${await signed(keyed(key))}`);
    answer = silent;
    const away = await ask(old);
    assert.deepEqual([away.status, (away.body as { code: string }).code], [503, 'TEMPORARILY_UNAVAILABLE']);
    assert.ok(Number(away.headers['retry-after']) > 0);
    assert.doesNotMatch(away.text, /127\.0\.0\.1|key/i, 'it tells how it is built');
    const again = await ask(old);
    assert.equal(again.status, 503);
    assert.equal(asked, 1, 'a provider that hangs is not asked again at once');

    server.closeAllConnections();
    answer = listing(keyed(old).jwk);
    const deadline = Date.now() + 10_000;
    while ((await ask(old)).status !== 200) assert.ok(Date.now() < deadline, 'the provider is back, and is not asked');
    assert.equal((await ask(stranger)).status, 401);
  });

  it('that cannot be had open no limit of requests: whoever guesses is told to slow down', async () => {
    const verify = await tokenVerifier(readConfig({ NODE_ENV: 'production', JWKS_URL: url.href }));
    const limit = requestLimit(ownCounters(), 3);
    const app = express().use(requestLog(pino({ level: 'silent' })), identify(verify), limit, refuseBadTokens);
    app.use(problems(pino({ level: 'silent' })));
    answer = (_req, res) => void res.writeHead(503).end();
    const statuses: number[] = [];
    for (let n = 0; n < 4; n += 1) {
      const authorization = `Bearer ${await signed(keyed(stranger))}`;
      statuses.push((await supertest(app).get('/').set('Authorization', authorization)).status);
    }
    assert.deepEqual(statuses, [503, 503, 503, 429]);
  });

  it('are not taken from an address that anybody on the way could answer, in production', async () => {
    const at = (JWKS_URL: string, NODE_ENV = 'production') => tokenVerifier(readConfig({ NODE_ENV, JWKS_URL }));
    for (const bad of ['http://identity.test/keys', 'http://10.0.0.1/keys', 'http://127.0.0.1.identity.test/keys']) {
      await assert.rejects(at(bad), ConfigError, bad);
    }
    await assert.rejects(at('https://user:secret@identity.test/keys'), ConfigError);
    for (const bad of ['file:///etc/keys', 'ftp://identity.test/keys', 'nonsense']) {
      assert.throws(() => readConfig({ JWKS_URL: bad }), ConfigError, bad);
    }
    for (const good of ['https://identity.test/keys', 'http://localhost:9/keys', 'http://[::1]:9/keys']) await at(good);
    await assert.rejects((await at('http://127.0.0.1:1/keys'))('a.b.c'), InvalidToken);
    await at('http://identity.test/keys', 'development');
  });
});
