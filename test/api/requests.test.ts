import assert from 'node:assert/strict';

import express, { type Request } from 'express';
import { pino } from 'pino';
import supertest from 'supertest';
import { z } from 'zod';

import { databaseId } from '../../api/contract/fields.ts';
import type { ApiDeps } from '../../api/deps.ts';
import { healthRoutes } from '../../api/health.ts';
import { idempotencyKeyOf, preferenceApplied, preferenceOf, requestHashOf } from '../../api/requests.ts';
import { mount } from '../../api/routes.ts';
import { CheckoutError, type ErrorCode } from '../../domain/errors.ts';
import { eventually } from '../support/eventually.ts';

const withKeys = (...keys: string[]) => ({ headersDistinct: { 'idempotency-key': keys } }) as unknown as Request;
const keyOf = (...keys: string[]) => idempotencyKeyOf(withKeys(...keys));
const refused = (code: ErrorCode) => (error: unknown) => error instanceof CheckoutError && error.code === code;
const preferring = (prefer: string) => preferenceOf({ get: () => prefer } as unknown as Request);

describe('idempotency keys', () => {
  it('are the same bare and quoted', () => {
    assert.equal(keyOf('8e03978e-40d5'), '8e03978e-40d5');
    assert.equal(keyOf('"8e03978e-40d5"'), '8e03978e-40d5');
    assert.equal(keyOf('"a \\"b\\" \\\\ c"'), 'a "b" \\ c');
  });

  it('are missing when absent or empty', () => {
    assert.throws(() => keyOf(), refused('IDEMPOTENCY_KEY_MISSING'));
    assert.throws(() => keyOf(''), refused('IDEMPOTENCY_KEY_MISSING'));
  });

  it('must be one value of printable ASCII, at most 255 characters', () => {
    assert.equal(keyOf('k'.repeat(255)).length, 255);
    assert.equal(keyOf(`"${'k'.repeat(255)}"`).length, 255);
    for (const bad of ['k'.repeat(256), 'schlüssel', 'tab\there', '"', '""', '"open', '"a"b"', '"a";p=1', '"\\n"']) {
      assert.throws(() => keyOf(bad), refused('MALFORMED_REQUEST'), bad);
    }
    assert.throws(() => keyOf('one', 'two'), refused('MALFORMED_REQUEST'));
  });
});

describe('preferences', () => {
  it('are to wait for the placed order unless something else is asked', () => {
    for (const prefer of ['', 'return=minimal', 'wait', 'wait=', 'wait=-1', 'wait=soon', 'respond-asynchronously']) {
      assert.equal(preferring(prefer), 'placed', prefer);
      assert.equal(preferenceApplied(preferring(prefer)), undefined);
    }
  });

  it('may be to wait for the end, for half a minute at most', () => {
    assert.deepEqual(preferring('wait=5'), { waitSeconds: 5 });
    assert.deepEqual(preferring('handling=lenient, Wait = "7"'), { waitSeconds: 7 });
    assert.equal(preferenceApplied(preferring('wait=100')), 'wait=30');
  });

  it('may be not to wait at all', () => {
    assert.equal(preferring('Respond-Async'), 'respond-async');
    assert.equal(preferenceApplied('respond-async'), 'respond-async');
    assert.deepEqual(preferring('respond-async, wait=10'), { waitSeconds: 10 });
  });
});

describe('the request hash', () => {
  it('does not depend on the order of keys, but on the order of lines', () => {
    const hash = requestHashOf({ a: 1, b: { c: [1, 2], d: null } });
    assert.match(hash, /^[0-9a-f]{64}$/);
    assert.equal(requestHashOf({ b: { d: null, c: [1, 2] }, a: 1 }), hash);
    assert.notEqual(requestHashOf({ a: 1, b: { c: [2, 1], d: null } }), hash);
  });
});

describe('ids of the databases', () => {
  it('are digit strings within bigint', () => {
    for (const id of ['1', '101', '9223372036854775807']) assert.equal(databaseId.parse(id), id);
    for (const id of ['0', '01', '-1', '1.5', '1e3', ' 1', '', '9223372036854775808', '１', 1, null]) {
      assert.equal(databaseId.safeParse(id).success, false, String(id));
    }
  });

  it('are described as such to readers of the OpenAPI document', () => {
    const { pattern = '' } = z.toJSONSchema(databaseId);
    assert.match('9223372036854775807', new RegExp(pattern, 'u'));
    for (const id of ['0', '01', '-1', '1.5', '1e3', ' 1', '', '１']) assert.doesNotMatch(id, new RegExp(pattern, 'u'));
  });
});

describe('questions whether the process is ready', () => {
  it('that come at once are answered by one look, however many they are, and later ones by another', async () => {
    let looks = 0;
    let came = 0;
    let answer: () => void = () => undefined;
    const answered = new Promise<void>((resolve) => (answer = resolve));
    const asked = async () => {
      looks += 1;
      await answered;
    };
    const database = { $queryRaw: asked };
    const databases = { platform: database, order: database, payment: database, views: database };
    const connection = { withDeadline: (_at: number, ask: () => unknown) => ask(), healthService: { check: asked } };
    const deps = {
      databases,
      temporal: { connection },
      log: pino({ level: 'silent' }),
      stopping: new AbortController().signal,
    };
    const app = express().use((_req, _res, next) => {
      came += 1;
      next();
    });
    app.use(mount(healthRoutes(deps as unknown as ApiDeps)));
    const ask = () => supertest(app).get('/readyz');
    const many = Array.from({ length: 20 }, () => ask().then(({ status }) => status));
    await eventually('all have come', () => Promise.resolve(came === many.length ? true : undefined));
    assert.equal(looks, 5);
    answer();
    assert.deepEqual([...new Set(await Promise.all(many))], [200]);
    const before = looks;
    assert.equal((await ask()).status, 200);
    assert.equal(looks, before + 5);
  });
});
