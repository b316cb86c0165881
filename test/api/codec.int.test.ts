import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';

import type { Payload } from '@temporalio/common';
import type { Response } from 'supertest';

import { EncryptionCodec } from '../../infra/payload-codec.ts';
import { signToken } from '../../infra/tokens.ts';
import { type OpenApi, openApi } from './open-api.ts';

type WebPayload = Readonly<{ metadata: Record<string, string>; data: string }>;

const WEB = 'https://temporal.test';
const KEY = { id: '2026-11', secret: randomBytes(32) };
const PATH = '/v1/codec/decode';

const base64 = (bytes: Uint8Array | string): string => Buffer.from(bytes).toString('base64');
/** As Temporal Web and the CLI write a payload. */
const webPayload = ({ metadata, data }: Payload): WebPayload => ({
  metadata: Object.fromEntries(Object.entries(metadata ?? {}).map(([name, value]) => [name, base64(value)])),
  data: base64(data ?? new Uint8Array()),
});
const plain = (value: unknown): WebPayload => ({
  metadata: { encoding: base64('json/plain') },
  data: base64(JSON.stringify(value)),
});
async function encrypted(value: unknown, key = KEY): Promise<WebPayload> {
  const payload = { metadata: { encoding: Buffer.from('json/plain') }, data: Buffer.from(JSON.stringify(value)) };
  const [first] = await new EncryptionCodec([key]).encode([payload]);
  return webPayload(first ?? assert.fail());
}

describe('the codec endpoint', function () {
  this.timeout(60_000);
  let api: OpenApi;
  before(async () => {
    const settings = { codecOrigins: [WEB], corsOrigins: ['https://shop.test'] };
    const dataConverter = { payloadCodecs: [new EncryptionCodec([KEY])] };
    api = await openApi('127.0.0.1:1', { settings, dataConverter });
  });
  after(() => api.close());

  const decode = (body: object, headers: Record<string, string> = {}) =>
    api.http
      .post(`${PATH}?preserveStorageRefs=true`)
      .set({ Authorization: `Bearer ${api.tokens.admin}`, 'X-Namespace': 'default', ...headers })
      .send(body);
  const refused = ({ status, body }: Response, expected: readonly [number, string]) =>
    assert.deepEqual([status, (body as { code: string }).code], expected);

  it('decrypts for an administrator what the workers encrypted, in its order, and lets nobody keep it', async () => {
    const payloads = [await encrypted({ token: 'tok_ok' }), plain('clear'), await encrypted([1, 2])];
    const res = await decode({ payloads }).expect(200);
    assert.deepEqual(res.body, { payloads: [plain({ token: 'tok_ok' }), plain('clear'), plain([1, 2])] });
    assert.equal(res.get('Cache-Control'), 'no-store');
  });

  it('gives back as it was what it cannot decrypt, with the rest decrypted, and names the missing key in the log', async () => {
    const lost = await encrypted('lost', { id: '2025-05', secret: randomBytes(32) });
    const forged = await encrypted('forged', { id: KEY.id, secret: randomBytes(32) });
    const nothing = { data: '' };
    const newer = { ...plain(1), externalPayloads: [{ sizeBytes: '5' }] };
    const payloads = [lost, forged, nothing, {}, newer, await encrypted('ours')];
    const res = await decode({ payloads }).expect(200);
    assert.deepEqual(res.body, { payloads: [lost, forged, nothing, {}, newer, plain('ours')] });
    assert.match(api.logged(), /no key 2025-05: add it to TEMPORAL_PAYLOAD_KEYS/);
    assert.doesNotMatch(api.logged(), /ours|tok_ok/);
  });

  it('says nothing to strangers and customers, whatever they send', async () => {
    const body = { payloads: [await encrypted('secret')] };
    refused(await api.http.post(PATH).send(body), [401, 'UNAUTHENTICATED']);
    refused(await decode(body, { Authorization: 'Bearer forged' }), [401, 'UNAUTHENTICATED']);
    refused(await decode(body, { Authorization: `Bearer ${api.tokens.customer}` }), [403, 'FORBIDDEN']);
    const asCustomer = { Authorization: `Bearer ${api.tokens.customer}` };
    refused(await api.http.post('/v1/codec/session').set(asCustomer), [403, 'FORBIDDEN']);
    refused(await api.http.post('/v1/codec/session'), [401, 'UNAUTHENTICATED']);
  });

  it('answers pages of Temporal Web alone, not even those of the shop', async () => {
    const body = { payloads: [await encrypted('secret')] };
    const res = await decode(body, { Origin: WEB }).expect(200);
    assert.equal(res.get('Access-Control-Allow-Origin'), WEB);
    assert.equal(res.get('Access-Control-Allow-Credentials'), 'true');
    for (const origin of ['https://shop.test', 'https://evil.test', 'null', `${WEB}.evil.test`]) {
      refused(await decode(body, { Origin: origin }), [403, 'FORBIDDEN']);
    }
  });

  it('lets a browser ask before it sends the token, from allowed origins', async () => {
    const ask = (origin: string) =>
      api.http.options(PATH).set({
        Origin: origin,
        'Access-Control-Request-Method': 'POST',
        'Access-Control-Request-Headers': 'authorization,content-type,x-namespace',
      });
    const res = await ask(WEB).expect(204);
    assert.equal(res.get('Access-Control-Allow-Origin'), WEB);
    assert.match(res.get('Access-Control-Allow-Headers') ?? '', /Authorization.*Content-Type.*X-Namespace/);
    const other = await ask('https://shop.test');
    assert.equal(other.get('Access-Control-Allow-Origin'), undefined);
  });

  it('takes the cookie of a session from Temporal Web, and from nowhere else', async () => {
    const bearer = { Authorization: `Bearer ${api.tokens.admin}` };
    const opened = await api.http.post('/v1/codec/session').set(bearer).expect(204);
    const [cookie = ''] = opened.get('Set-Cookie') ?? [];
    assert.match(cookie, /^codec-session=[^;]+; Max-Age=28800; Path=\/v1\/codec; .*HttpOnly; SameSite=Strict$/);
    assert.doesNotMatch(cookie, /Secure/); // http://127.0.0.1 in development

    const body = { payloads: [await encrypted('secret')] };
    const Cookie = cookie.split(';')[0] ?? '';
    const withCookie = (headers: object, path = PATH) =>
      api.http
        .post(path)
        .set({ Cookie, ...headers })
        .send(body);
    const res = await withCookie({ Origin: WEB }).expect(200);
    assert.deepEqual(res.body, { payloads: [plain('secret')] });
    refused(await withCookie({}), [401, 'UNAUTHENTICATED']);
    refused(await withCookie({ Origin: 'https://evil.test' }), [401, 'UNAUTHENTICATED']);
    refused(await withCookie({ Origin: WEB }, '/v1/codec/session'), [401, 'UNAUTHENTICATED']);
    const orders = await api.http.get('/v1/orders').set({ Cookie, Origin: WEB });
    refused(orders, [401, 'UNAUTHENTICATED']);
  });

  it('does not take the cookie of a customer, nor one that was made up', async () => {
    const token = await signToken(api.config, { sub: '1', role: 'customer', expires: '1h' });
    const send = (value: string) =>
      api.http
        .post(PATH)
        .set({ Origin: WEB, Cookie: `other=1; codec-session=${value}` })
        .send({ payloads: [] });
    refused(await send(token), [403, 'FORBIDDEN']);
    refused(await send('made-up'), [401, 'UNAUTHENTICATED']);
  });

  it('takes a whole page of a history, and refuses more, and what is none of it', async () => {
    const large = await encrypted('x'.repeat(1_000_000));
    const { body } = (await decode({ payloads: [large] }).expect(200)) as { body: { payloads: WebPayload[] } };
    assert.equal(body.payloads[0]?.data.length, plain('x'.repeat(1_000_000)).data.length);

    refused(await decode({ payloads: [large, large] }), [413, 'PAYLOAD_TOO_LARGE']);
    refused(await decode({ payloads: Array.from({ length: 5_001 }, () => ({})) }), [422, 'INVALID_REQUEST']);
    for (const wrong of [{ payloads: {} }, { payloads: [1] }, { payloads: [{ data: 'no base64!' }] }]) {
      refused(await decode(wrong), [422, 'INVALID_REQUEST']);
    }
    refused(await decode({ payloads: [], more: 1 }), [422, 'INVALID_REQUEST']);
    refused(await decode([]), [422, 'INVALID_REQUEST']);
  });

  it('encrypts what a command sends, also where that is nothing', async () => {
    const headers = { Authorization: `Bearer ${api.tokens.admin}` };
    const encode = (body: object) => api.http.post('/v1/codec/encode').set(headers).send(body);
    const { payloads } = (await encode({ payloads: [plain('retry')] }).expect(200)).body as { payloads: WebPayload[] };
    assert.equal(Buffer.from(payloads[0]?.metadata['encoding'] ?? '', 'base64').toString(), 'binary/encrypted');
    assert.deepEqual((await decode({ payloads }).expect(200)).body, { payloads: [plain('retry')] });
    assert.deepEqual((await encode({}).expect(200)).body, { payloads: [] });

    refused(await api.http.post('/v1/codec/encode').send({}), [401, 'UNAUTHENTICATED']);
    refused(await encode({}).set('Origin', 'https://shop.test'), [403, 'FORBIDDEN']);
    const asked = await api.http.get(PATH).set(headers);
    refused(asked, [405, 'METHOD_NOT_ALLOWED']);
  });
});
