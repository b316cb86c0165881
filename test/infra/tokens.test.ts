import assert from 'node:assert/strict';
import { createPublicKey, type JsonWebKey } from 'node:crypto';
import { mkdtemp, readdir, readFile, rm, stat } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { exportJWK, generateKeyPair, importJWK, SignJWT, UnsecuredJWT } from 'jose';

import { ConfigError, readConfig } from '../../infra/config.ts';
import { developmentKey } from '../../infra/development-key.ts';
import { KeysUnavailable } from '../../infra/identity-keys.ts';
import { type Caller, developmentTokens, InvalidToken, signToken, tokenVerifier } from '../../infra/tokens.ts';

const ISSUER = 'commerce-saga';
const AUDIENCE = 'commerce-saga-api';
const whoIs = ({ id, role }: Caller) => ({ id, role });

describe('bearer tokens', () => {
  let dataDir: string;
  const config = (more: Record<string, string> = {}) => readConfig({ DATA_DIR: dataDir, ...more });
  before(async () => {
    dataDir = await mkdtemp(join(tmpdir(), 'commerce-saga-tokens-'));
  });
  after(() => rm(dataDir, { recursive: true }));

  it('say who the caller is', async () => {
    const verify = await tokenVerifier(config());
    const tokens = await developmentTokens(config());
    assert.deepEqual(whoIs(await verify(tokens.customer)), { id: '1', role: 'customer' });
    assert.deepEqual(whoIs(await verify(tokens.otherCustomer)), { id: '2', role: 'customer' });
    assert.deepEqual(whoIs(await verify(tokens.admin)), { id: '100', role: 'admin' });
  });

  it('are signed with one key, whoever asks for it first, and only its owner can read it', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'commerce-saga-key-'));
    try {
      const keys = await Promise.all(Array.from({ length: 8 }, () => developmentKey(folder)));
      assert.equal(new Set(keys.map(({ d }) => d)).size, 1);
      assert.deepEqual(await readdir(join(folder, 'jwt')), ['key.json']);
      assert.equal((await stat(join(folder, 'jwt', 'key.json'))).mode & 0o777, 0o600);
      assert.deepEqual(JSON.parse(await readFile(join(folder, 'jwt', 'key.json'), 'utf8')), keys[0]);
    } finally {
      await rm(folder, { recursive: true });
    }
  });

  it('are refused with any flaw', async () => {
    const verify = await tokenVerifier(config());
    const jwk = await developmentKey(dataDir);
    const key = await importJWK(jwk, 'ES256');
    const publicPem = createPublicKey({ key: jwk as JsonWebKey, format: 'jwk' }).export({
      type: 'spki',
      format: 'pem',
    });
    const stranger = (await generateKeyPair('ES256')).privateKey;
    const token = (change: (jwt: SignJWT) => SignJWT, claims: object = { role: 'customer' }, header: object = {}) => {
      const jwt = new SignJWT({ ...claims }).setProtectedHeader({ alg: 'ES256', ...header }).setSubject('1');
      return change(jwt.setIssuer(ISSUER).setAudience(AUDIENCE).setExpirationTime('1h'));
    };
    const same = (jwt: SignJWT) => jwt;
    const good = await token(same).sign(key);
    assert.deepEqual(whoIs(await verify(good)), { id: '1', role: 'customer' });

    const bad: Record<string, string> = {
      'another key': await token(same).sign(stranger),
      'alg none': new UnsecuredJWT({ role: 'admin', sub: '1', iss: ISSUER, aud: AUDIENCE, exp: 4e9 }).encode(),
      'HS256 with the public key as secret': await token(same, { role: 'admin' }, { alg: 'HS256' }).sign(
        Buffer.from(publicPem),
      ),
      'its own key inside': await token(
        same,
        { role: 'admin' },
        { jwk: { kty: 'EC', crv: 'P-256', x: jwk.x, y: jwk.y } },
      ).sign(stranger),
      'a kid that is a path': await token(same, { role: 'admin' }, { kid: '../../../../dev/null' }).sign(stranger),
      'wrong audience': await token((jwt) => jwt.setAudience('another-api')).sign(key),
      'wrong issuer': await token((jwt) => jwt.setIssuer('somebody')).sign(key),
      expired: await token((jwt) => jwt.setExpirationTime(Math.floor(Date.now() / 1_000) - 6)).sign(key),
      'not valid yet': await token((jwt) => jwt.setNotBefore('1m')).sign(key),
      'no expiry': await new SignJWT({ role: 'customer' })
        .setProtectedHeader({ alg: 'ES256' })
        .setSubject('1')
        .setIssuer(ISSUER)
        .setAudience(AUDIENCE)
        .sign(key),
      'no subject': await new SignJWT({ role: 'customer' })
        .setProtectedHeader({ alg: 'ES256' })
        .setIssuer(ISSUER)
        .setAudience(AUDIENCE)
        .setExpirationTime('1h')
        .sign(key),
      'a subject that is no id': await token((jwt) => jwt.setSubject("1' or 1=1")).sign(key),
      'a subject beyond bigint': await token((jwt) => jwt.setSubject('9223372036854775808')).sign(key),
      'no role': await token(same, {}).sign(key),
      'a role nobody knows': await token(same, { role: 'root' }).sign(key),
      'ten kilobytes': await token(same, { role: 'customer', filler: 'x'.repeat(10_000) }).sign(key),
      'a changed payload': good.replace(/\.([^.]+)\./, (_, body: string) => `.${body.slice(0, -2)}AA.`),
      nothing: '',
      garbage: 'a.b.c',
    };
    for (const [flaw, bearer] of Object.entries(bad)) {
      await assert.rejects(verify(bearer), InvalidToken, flaw);
    }
  });

  it('are accepted up to five seconds after their end, for clocks that differ', async () => {
    const verify = await tokenVerifier(config());
    const key = await importJWK(await developmentKey(dataDir), 'ES256');
    const jwt = new SignJWT({ role: 'customer' }).setProtectedHeader({ alg: 'ES256' }).setSubject('1');
    const late = jwt
      .setIssuer(ISSUER)
      .setAudience(AUDIENCE)
      .setExpirationTime(Math.floor(Date.now() / 1_000) - 2);
    assert.deepEqual(whoIs(await verify(await late.sign(key))), { id: '1', role: 'customer' });
  });

  it('come from the identity provider when there is one, and no local key is made or believed', async () => {
    const { publicKey, privateKey } = await generateKeyPair('RS256');
    const keys = { keys: [{ ...(await exportJWK(publicKey)), kid: 'k1', alg: 'RS256' }] };
    const server = createServer((_req, res) => res.end(JSON.stringify(keys))).listen(0, '127.0.0.1');
    await new Promise((resolve) => server.once('listening', resolve));
    const jwksUrl = `http://127.0.0.1:${(server.address() as AddressInfo).port}/jwks`;
    const local = (await developmentTokens(config())).admin;
    try {
      const production = config({ NODE_ENV: 'production', JWKS_URL: jwksUrl });
      const verify = await tokenVerifier(production);
      const jwt = new SignJWT({ role: 'admin' }).setProtectedHeader({ alg: 'RS256', kid: 'k1' }).setSubject('5');
      const theirs = await jwt.setIssuer(ISSUER).setAudience(AUDIENCE).setExpirationTime('1h').sign(privateKey);
      assert.deepEqual(whoIs(await verify(theirs)), { id: '5', role: 'admin' });
      await assert.rejects(verify(local), InvalidToken);
      await assert.rejects(signToken(production, { sub: '1', role: 'admin', expires: '1h' }), ConfigError);
    } finally {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    }

    const away = await tokenVerifier(config({ JWKS_URL: jwksUrl }));
    await assert.rejects(away(local), KeysUnavailable, 'a token is not bad because the provider is away');
  });

  it('are never checked with a local key in production', async () => {
    await assert.rejects(tokenVerifier(config({ NODE_ENV: 'production' })), ConfigError);
  });
});
