import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { ConfigError, readConfig } from '../../infra/config.ts';
import { externalDatabases, partEnvironment } from '../../infra/embedded/supervisor/environment.ts';
import {
  type Endpoints,
  findEndpoints,
  NothingIsRunning,
  readEndpoints,
  removeEndpoints,
  temporalEnvironment,
  withEndpoints,
  writeEndpoints,
} from '../../infra/endpoints.ts';

const url = (name: string) => `postgresql://${name}@127.0.0.1:1/db_${name}`;
const names = ['platform', 'order', 'payment', 'views', 'bus', 'gateway'] as const;
const databases = Object.fromEntries(names.map((name) => [name, url(name)])) as Record<(typeof names)[number], string>;
const variables = Object.fromEntries(names.map((name) => [`${name.toUpperCase()}_DATABASE_URL`, url(name)]));
const running: Endpoints = {
  api: 'http://127.0.0.1:3000',
  temporalAddress: '127.0.0.1:7233',
  namespace: 'default',
  gateway: 'http://127.0.0.1:4242',
  databases,
  pids: { supervisor: process.pid },
  startedAt: '2026-11-23T00:00:00.000Z',
};

describe('endpoints.json', () => {
  let folder: string;
  beforeEach(() => (folder = mkdtempSync(join(tmpdir(), 'endpoints-'))));
  afterEach(() => rmSync(folder, { recursive: true, force: true }));

  it('is read as it was written, and by its owner alone', () => {
    writeFileSync(join(folder, 'endpoints.json'), 'an older one', { mode: 0o644 });
    writeEndpoints(folder, running);
    assert.deepEqual(readEndpoints(folder), running);
    assert.equal(statSync(join(folder, 'endpoints.json')).mode & 0o777, 0o600);
  });

  it('says to run `npm start` when there is none, when its writer is gone, and when it cannot be read', () => {
    const { pid } = spawnSync(process.execPath, ['-e', '']);
    assert.throws(() => readEndpoints(folder), isNothing(/Nothing is running on .*run `npm start` first/));
    writeEndpoints(folder, { ...running, pids: { supervisor: pid } });
    assert.throws(() => readEndpoints(folder), isNothing(/was killed\. Run `npm start` again/));
    writeFileSync(join(folder, 'endpoints.json'), '{"api":');
    assert.throws(() => readEndpoints(folder), isNothing(/cannot be read/));
    removeEndpoints(folder);
    removeEndpoints(folder);
    assert.equal(findEndpoints(folder), undefined);
  });

  it('fills what the environment leaves open and never overrides it', () => {
    const config = readConfig({ DATA_DIR: folder, ORDER_DATABASE_URL: url('mine'), GATEWAY_URL: 'http://mine' });
    const filled = withEndpoints(config, running);
    assert.deepEqual(filled.databaseUrls, { ...databases, order: url('mine') });
    assert.equal(filled.gatewayUrl, 'http://mine');
    assert.equal(withEndpoints(readConfig({}), running).gatewayUrl, running.gateway);
    assert.equal(withEndpoints(config, undefined), config);
  });

  it("leaves Temporal's own rules alone where the environment names a server", () => {
    assert.equal(temporalEnvironment(readConfig({ TEMPORAL_ADDRESS: 'a:1' }), running), undefined);
    assert.equal(temporalEnvironment(readConfig({}), undefined), undefined);
    assert.equal(temporalEnvironment(readConfig({}), running)?.['TEMPORAL_ADDRESS'], '127.0.0.1:7233');
  });
});

describe('the environment of a part', () => {
  it('takes all databases from the environment or none, and names those that are missing', () => {
    assert.equal(externalDatabases(readConfig({})), undefined);
    assert.deepEqual(externalDatabases(readConfig(variables)), databases);
    const some = { ...variables, BUS_DATABASE_URL: '', GATEWAY_DATABASE_URL: '' };
    assert.throws(
      () => externalDatabases(readConfig(some)),
      isConfigError(/not BUS_DATABASE_URL, GATEWAY_DATABASE_URL/),
    );
  });

  it('needs no gateway database where another gateway is used', () => {
    const without = { ...variables, GATEWAY_DATABASE_URL: '', GATEWAY_URL: 'http://gateway' };
    assert.equal(externalDatabases(readConfig(without))?.gateway, undefined);
  });

  it('holds the credentials of its own databases and no others', () => {
    const env = partEnvironment(readConfig({}), { databases, temporal: {} }, ['platform', 'order'], { PORT: '1' });
    const given = Object.entries(env).filter(
      ([name, value]) => /_(DATABASE|MIGRATION)_URL$/.test(name) && value !== '',
    );
    assert.deepEqual(given.map(([name]) => name).sort(), ['ORDER_DATABASE_URL', 'PLATFORM_DATABASE_URL']);
    assert.equal(env['PORT'], '1');
  });
});

function isNothing(message: RegExp) {
  return (error: unknown) => error instanceof NothingIsRunning && message.test(error.message);
}

function isConfigError(message: RegExp) {
  return (error: unknown) => error instanceof ConfigError && message.test(error.message);
}
