import assert from 'node:assert/strict';

import { inheritedEnvironment } from '../../infra/inherited-environment.ts';

describe('the environment of a process that we start', () => {
  const given = {
    PATH: '/usr/bin',
    LOG_LEVEL: 'debug',
    STRIPE_SECRET_KEY: 'sk_test_secret',
    GATEWAY_WEBHOOK_SECRETS: 'whsec_secret',
    KAFKA_USERNAME: 'events',
    KAFKA_PASSWORD: 'secret',
    API_TOKENS: 'token',
    OTEL_EXPORTER_OTLP_HEADERS: 'authorization=secret',
    ADMIN_DATABASE_URL: 'postgresql://postgres:secret@db.test/postgres',
    ORDER_DATABASE_URL: 'postgresql://order:secret@db.test/db_order',
    ORDER_MIGRATION_URL: 'postgresql://migrator:secret@db.test/db_order',
  };

  it('holds no secret: each is blank, so that a file cannot bring it back', () => {
    const inherited = inheritedEnvironment(given);
    assert.ok(!Object.values(inherited).some((value) => value.includes('secret')));
    for (const name of Object.keys(given)) assert.notEqual(inherited[name], undefined, name);
  });

  it('holds everything else as it is', () => {
    const { PATH, LOG_LEVEL } = inheritedEnvironment(given);
    assert.deepEqual({ PATH, LOG_LEVEL }, { PATH: '/usr/bin', LOG_LEVEL: 'debug' });
  });
});
