import assert from 'node:assert/strict';

import { checkViews } from '../../cli/doctor/views.ts';
import { readConfig } from '../../infra/config.ts';
import type { Endpoints } from '../../infra/endpoints.ts';
import { freshDatabases, query, type TestDatabases } from '../support/databases.ts';

describe('what the doctor says about the views', () => {
  let databases: TestDatabases;
  before(async () => {
    databases = await freshDatabases();
  });
  after(() => databases.drop());

  const running = (): Endpoints => ({
    ...{ api: 'http://127.0.0.1:1', temporalAddress: '127.0.0.1:1', namespace: 'default' },
    ...{ databases: databases.urls, pids: { supervisor: process.pid }, startedAt: new Date().toISOString() },
  });
  const check = () => checkViews(readConfig({}), running());
  const caughtUp = (ago: string, view = '%') =>
    query(
      databases.adminUrl('views'),
      'update projection_progress set caught_up_at = now() - $1::interval where view like $2',
      [ago, view],
    );

  it('names views that never had everything, and those that have not had it for long', async () => {
    await caughtUp('10 s');
    await caughtUp('5 min', 'sales');
    await query(databases.adminUrl('views'), `update projection_progress set caught_up_at = null where view = 'users'`);
    const { status, detail } = await check();
    assert.equal(status, 'problem');
    assert.match(detail, /^last up to date: users \(never\), sales \(30\d\.\d s ago\)$/);
  });

  it('is content when all were up to date lately, and says when', async () => {
    await caughtUp('10 s');
    const { status, detail } = await check();
    assert.equal(status, 'ok');
    assert.match(detail, /^up to date within 1\d\.\d s$/);
  });

  it('expects nothing while nothing runs', async () => {
    const { status } = await checkViews(readConfig({}), undefined);
    assert.equal(status, 'notice');
  });
});
