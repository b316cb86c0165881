import assert from 'node:assert/strict';

import { ConfigError, readConfig } from '../../infra/config.ts';
import { isTimeZone } from '../../infra/time-zone.ts';

describe('the time zone of the shop', () => {
  for (const name of ['Asia/Seoul', 'UTC', 'Asia/Kolkata', 'Asia/Calcutta', 'Etc/GMT-9', 'EST5EDT', 'GB-Eire']) {
    it(`may be ${name}`, () => assert.ok(isTimeZone(name)));
  }
  for (const name of ['', 'Seoul', '+09:00', 'KST', 'asia/seoul', 'ASIA/SEOUL', 'Asia/seoul', 'asia/kolkata', 'utc']) {
    it(`may not be ${JSON.stringify(name)}: PostgreSQL or Temporal would not know it`, () => {
      assert.ok(!isTimeZone(name));
    });
  }

  it('is refused when the process starts, and not when Temporal is asked for a Schedule', () => {
    assert.throws(() => readConfig({ SHOP_TIME_ZONE: 'asia/seoul' }), ConfigError);
  });
});
