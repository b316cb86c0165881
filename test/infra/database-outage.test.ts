import assert from 'node:assert/strict';

import { isDatabaseAway, isDatabaseOutage, sqlStateOf } from '../../infra/database-outage.ts';

const withCode = (code: string) => Object.assign(new Error('it failed'), { code });
/** As Prisma tells what its driver adapter met. */
const fromPrisma = (cause: object, code = 'P2010') =>
  Object.assign(withCode(code), { meta: { driverAdapterError: Object.assign(new Error('adapter'), { cause }) } });

const AWAY = {
  'a refused connection': withCode('ECONNREFUSED'),
  'a connection that Prisma could not make': withCode('P1001'),
  'an exhausted pool': withCode('P2024'),
  'a shutdown': withCode('57P01'),
  'a full disk': fromPrisma({ originalCode: '53100' }),
  'a standby that was a primary': fromPrisma({ originalCode: '25006' }),
  'an unreachable server': fromPrisma({ kind: 'DatabaseNotReachable' }, 'P2039'),
  'a connection that was cut': new Error('Connection terminated unexpectedly'),
  'an answer that did not come': new Error('Query read timeout'),
  'a connection that was given up': new Error('Client was closed and is not queryable'),
  'a transaction that could not begin': Object.assign(
    new Error('Transaction API error: Unable to start a transaction in the given time.'),
    { code: 'P2028' },
  ),
  'another error because of one of them': new Error('the view was not written', { cause: withCode('ECONNRESET') }),
};
const SLOW = {
  'a statement time-out': fromPrisma({ originalCode: '57014' }),
  'a lock that was not given in time': withCode('55P03'),
  'a deadlock': fromPrisma({ originalCode: '40P01' }),
  'a serialization failure': withCode('P2034'),
  'a transaction beyond its limit': withCode('P2028'),
};
const NEITHER = {
  'a violated constraint': fromPrisma({ originalCode: '23505' }),
  'a missing column': withCode('42703'),
  'a mistake of ours': new TypeError('x is not a function'),
  'no error at all': 'ECONNREFUSED',
};

describe('an outage of a database', () => {
  for (const [what, error] of Object.entries(AWAY)) {
    it(`is ${what}, which says nothing about the work`, () => {
      assert.deepEqual([isDatabaseAway(error), isDatabaseOutage(error)], [true, true]);
    });
  }
  for (const [what, error] of Object.entries(SLOW)) {
    it(`is ${what}, which may be the fault of the work`, () => {
      assert.deepEqual([isDatabaseAway(error), isDatabaseOutage(error)], [false, true]);
    });
  }
  for (const [what, error] of Object.entries(NEITHER)) {
    it(`is not ${what}`, () => {
      assert.deepEqual([isDatabaseAway(error), isDatabaseOutage(error)], [false, false]);
    });
  }

  it('is told by PostgreSQL’s own code, whichever client met it', () => {
    assert.equal(sqlStateOf(withCode('23505')), '23505');
    assert.equal(sqlStateOf(fromPrisma({ originalCode: '22P05' })), '22P05');
    assert.equal(sqlStateOf(new Error('no code')), undefined);
  });
});
