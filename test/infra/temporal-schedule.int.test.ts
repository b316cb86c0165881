import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { createServer } from 'node:http2';
import type { AddressInfo } from 'node:net';

import { Client, Connection, ServiceError } from '@temporalio/client';
import { pino } from 'pino';

import { ensureSchedule, type WantedSchedule, type When } from '../../infra/temporal-schedule.ts';
import { temporalServer } from '../support/servers.ts';

const UNIMPLEMENTED = 12;
const PERMISSION_DENIED = 7;
const INTERNAL = 13;
const HOUR_MS = 3_600_000;

const wantedSchedule = (): WantedSchedule => ({
  scheduleId: `test-${randomUUID()}`,
  when: { everyMs: HOUR_MS },
  workflowType: 'nobody-runs-this',
  taskQueue: 'nobody-listens-here',
  args: [{ apply: true }],
  runTimeoutMs: 60_000,
});

describe('the schedule of a workflow', () => {
  let lines: string[];
  let connection: Connection;
  const log = pino({ level: 'warn' }, { write: (line) => void lines.push(line) });

  before(async () => (connection = Connection.lazy({ address: (await temporalServer()).address })));
  after(() => connection?.close());
  beforeEach(() => (lines = []));

  const scheduleOf = ({ scheduleId }: WantedSchedule) => new Client({ connection }).schedule.getHandle(scheduleId);

  it('is made once, even by several workers at once, and left alone where it is right', async () => {
    const wanted = wantedSchedule();
    const made = Array.from({ length: 3 }, () => ensureSchedule({ client: new Client({ connection }) }, wanted, log));
    assert.deepEqual(await Promise.all(made), [true, true, true]);

    const { spec, policies, action, info } = await scheduleOf(wanted).describe();
    assert.deepEqual(
      [spec.intervals?.map(({ every }) => every), policies.overlap, policies.catchupWindow],
      [[HOUR_MS], 'SKIP', 60_000],
    );
    assert.deepEqual(
      [action.workflowType, action.taskQueue, action.args, action.workflowRunTimeout],
      ['nobody-runs-this', 'nobody-listens-here', [{ apply: true }], 60_000],
    );
    assert.equal(info.lastUpdatedAt, undefined);
    assert.deepEqual(lines, []);
    await scheduleOf(wanted).delete();
  });

  it('is corrected when its interval or its input has changed, and stays paused when somebody paused it', async () => {
    const wanted = wantedSchedule();
    const ensure = (changes: Partial<WantedSchedule>) =>
      ensureSchedule({ client: new Client({ connection }) }, { ...wanted, ...changes }, log);
    await ensure({ args: [{ apply: false }], when: { everyMs: 2 * HOUR_MS } });
    await scheduleOf(wanted).pause('for a while');

    assert.equal(await ensure({}), true);
    const { spec, action, state } = await scheduleOf(wanted).describe();
    assert.deepEqual([spec.intervals?.map(({ every }) => every), action.args], [[HOUR_MS], [{ apply: true }]]);
    assert.deepEqual([state.paused, state.note], [true, 'for a while']);
    await scheduleOf(wanted).delete();
  });

  it('comes every night by the clock of a time zone, is made up for when it was missed, and stays when it is right', async () => {
    const night = { hour: 3, minute: 10 };
    const wanted: WantedSchedule = { ...wantedSchedule(), when: { dailyAt: night, timeZone: 'Asia/Seoul' } };
    const ensure = (when: When = wanted.when) =>
      ensureSchedule({ client: new Client({ connection }) }, { ...wanted, when }, log);
    const described = () => scheduleOf(wanted).describe();
    assert.equal(await ensure(), true);
    assert.equal(await ensure(), true);

    const { policies, info } = await described();
    assert.deepEqual([policies.catchupWindow, info.lastUpdatedAt], [12 * HOUR_MS, undefined]);
    const next = info.nextActionTimes.slice(0, 2).map((at) => at.toISOString().slice(11));
    assert.deepEqual(next, ['18:10:00.000Z', '18:10:00.000Z']);

    await ensure({ dailyAt: night, timeZone: 'UTC' });
    assert.equal((await described()).info.nextActionTimes[0]?.toISOString().slice(11), '03:10:00.000Z');
    await ensure({ everyMs: HOUR_MS });
    const { spec } = await described();
    assert.deepEqual([spec.intervals?.length, spec.calendars ?? []], [1, []]);
    await scheduleOf(wanted).delete();
  });

  for (const [how, status] of [
    ['denies', PERMISSION_DENIED],
    ['does not know', UNIMPLEMENTED],
  ] as const) {
    it(`is done without where the server ${how} Schedules, and the log says so`, async () => {
      const server = await refusingServer(status);
      try {
        assert.equal(await ensureSchedule(server, wantedSchedule(), log), false);
      } finally {
        await server.close();
      }
      assert.match(lines.join(''), /refuses Schedules: start the workflow nobody-runs-this by other means/);
    });
  }

  it('is not given up because the server is in trouble', async () => {
    const server = await refusingServer(INTERNAL);
    try {
      await assert.rejects(ensureSchedule(server, wantedSchedule(), log), ServiceError);
    } finally {
      await server.close();
    }
    assert.deepEqual(lines, []);
  });
});

/** A gRPC server that answers every call with this status; old ones do not know GetSystemInfo, as here. */
async function refusingServer(status: number): Promise<{ client: Client; close: () => Promise<void> }> {
  const server = createServer();
  server.on('stream', (stream, headers) => {
    const answer = String(headers[':path']).includes('GetSystemInfo') ? UNIMPLEMENTED : status;
    stream.respond(
      { ':status': 200, 'content-type': 'application/grpc', 'grpc-status': String(answer), 'grpc-message': 'refused' },
      { endStream: true },
    );
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const connection = Connection.lazy({ address: `127.0.0.1:${(server.address() as AddressInfo).port}` });
  return {
    client: new Client({ connection }),
    close: async () => {
      await connection.close();
      server.close();
    },
  };
}
