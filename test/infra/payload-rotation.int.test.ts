import assert from 'node:assert/strict';
import { randomBytes, randomUUID } from 'node:crypto';
import { fileURLToPath } from 'node:url';

import { Client, Connection } from '@temporalio/client';
import type { DataConverter } from '@temporalio/common';
import { bundleWorkflowCode, DefaultLogger, NativeConnection, Worker } from '@temporalio/worker';
import { pino } from 'pino';

import { readConfig } from '../../infra/config.ts';
import { isRunning } from '../../infra/running-workflows.ts';
import { temporalConverter } from '../../infra/temporal-converter.ts';
import { ensureSchedule, type WantedSchedule } from '../../infra/temporal-schedule.ts';
import { eventually } from '../support/eventually.ts';
import { keyIdsIn } from '../support/history-payloads.ts';
import { goSignal, keyed, seenQuery } from '../support/keyed-workflow.ts';
import { quietRuntime } from '../support/quiet-runtime.ts';
import { temporalServer } from '../support/servers.ts';

const keyOf = (id: string): string => `${id}:${randomBytes(32).toString('base64')}`;
const OLD = keyOf('2026-05');
const NEW = keyOf('2026-11');
const WORKFLOWS = fileURLToPath(new URL('../support/keyed-workflow.ts', import.meta.url));

describe('a ring of keys on a real Temporal', function () {
  this.timeout(90_000);
  const lines: string[] = [];
  let connection: Connection;
  let native: NativeConnection;
  let codePath: Readonly<{ code: string }>;
  const running: (() => Promise<void>)[] = [];

  const converter = (...ring: string[]): Promise<DataConverter> => {
    const config = readConfig({ TEMPORAL_PAYLOAD_KEYS: ring.join(','), TEMPORAL_PAYLOAD_ENCRYPTION: 'on' });
    return temporalConverter(config, pino({}, { write: (line: string) => void lines.push(line) }));
  };
  const client = async (...ring: string[]) => new Client({ connection, dataConverter: await converter(...ring) });
  /** @returns its end */
  async function startWorker(taskQueue: string, ring: readonly string[], what: 'workflows' | 'steps') {
    const worker = await Worker.create({
      connection: native,
      taskQueue,
      dataConverter: await converter(...ring),
      ...(what === 'workflows'
        ? { workflowBundle: codePath }
        : { activities: { step: (input: string) => Promise.resolve(input.toUpperCase()) } }),
    });
    const run = worker.run();
    let ended: Promise<void> | undefined;
    const end = () => {
      if (ended === undefined) worker.shutdown();
      return (ended ??= run);
    };
    running.push(end);
    return end;
  }

  before(async () => {
    quietRuntime();
    const { address } = await temporalServer();
    connection = await Connection.connect({ address });
    native = await NativeConnection.connect({ address });
    const { failureConverterPath = assert.fail('none') } = await converter(NEW);
    const logger = new DefaultLogger('ERROR');
    codePath = await bundleWorkflowCode({ workflowsPath: WORKFLOWS, failureConverterPath, logger });
  });
  after(async () => {
    await Promise.all(running.map((end) => end()));
    await native.close();
    await connection.close();
  });

  it('finishes with a new key what was begun with the old one, which it still reads', async () => {
    const [flows, steps] = [`flows-${randomUUID()}`, `steps-${randomUUID()}`];
    const old = [await startWorker(flows, [OLD], 'workflows'), await startWorker(steps, [OLD], 'steps')];
    const workflowId = randomUUID();
    const options = { taskQueue: flows, workflowId, args: ['input', steps] as [string, string], memo: { who: 'memo' } };
    const begun = await (await client(OLD)).workflow.start(keyed, options);
    await eventually('the first step is done', async () =>
      (await begun.fetchHistory()).events?.some((event) => event.activityTaskCompletedEventAttributes)
        ? true
        : undefined,
    );
    assert.deepEqual(keyIdsIn(await begun.fetchHistory()), ['2026-05']);

    // Everybody learns the new key, then it becomes the first: one worker here is between the two.
    await Promise.all(old.map((end) => end()));
    await startWorker(flows, [NEW, OLD], 'workflows');
    await startWorker(steps, [OLD, NEW], 'steps');
    const handle = (await client(NEW, OLD)).workflow.getHandle<typeof keyed>(workflowId);
    await handle.signal(goSignal, 'told');
    assert.equal(await handle.result(), 'INPUT-FIRST, TOLD-SECOND');
    assert.equal(await handle.query(seenQuery), 'told');
    assert.deepEqual((await handle.describe()).memo, { who: 'memo' });
    assert.deepEqual(keyIdsIn(await handle.fetchHistory()), ['2026-05', '2026-11']);
    await assert.rejects((await client(NEW)).workflow.getHandle(workflowId).describe(), /no key 2026-05/);
  });

  it('writes the arguments of a Schedule again with the new key, so that the old one can go', async () => {
    const schedule: WantedSchedule = {
      scheduleId: randomUUID(),
      when: { everyMs: 3_600_000 },
      ...{ workflowType: 'keyed', taskQueue: 'nobody', args: ['input', 'steps'], runTimeoutMs: 1_000 },
    };
    const log = pino({ level: 'silent' });
    const read = async (...ring: string[]) =>
      (await client(...ring)).schedule.getHandle(schedule.scheduleId).describe();
    const ensure = async (...ring: string[]) => ensureSchedule({ client: await client(...ring) }, schedule, log);
    try {
      await ensure(OLD);
      await ensure(OLD, NEW);
      await assert.rejects(read(NEW), /no key 2026-05/);
      await ensure(NEW, OLD);
      const { action } = await read(NEW);
      assert.deepEqual(action.args, ['input', 'steps']);
    } finally {
      await (await client(NEW, OLD)).schedule.getHandle(schedule.scheduleId).delete();
    }
  });

  it('makes a Schedule again whose key is lost, paused if it was: the workers would not start any more', async () => {
    const schedule: WantedSchedule = {
      scheduleId: randomUUID(),
      when: { everyMs: 3_600_000 },
      ...{ workflowType: 'keyed', taskQueue: 'nobody', args: ['input', 'steps'], runTimeoutMs: 1_000 },
    };
    const log = pino({ level: 'silent' });
    const handleOf = async (key: string) => (await client(key)).schedule.getHandle(schedule.scheduleId);
    const ensure = async (key: string) => ensureSchedule({ client: await client(key) }, schedule, log);
    try {
      await ensure(OLD);
      await (await handleOf(OLD)).pause('for the night');
      assert.deepEqual(await Promise.all([ensure(NEW), ensure(NEW), ensure(NEW)]), [true, true, true]);
      const { action, state } = await (await handleOf(NEW)).describe();
      assert.deepEqual([action.args, state.paused, state.note], [['input', 'steps'], true, 'for the night']);
    } finally {
      await (await handleOf(NEW)).delete();
    }
  });

  it('lets the reconciler see what runs, and what does not, although the key of its memo is lost', async () => {
    const workflowId = randomUUID();
    const options = { taskQueue: 'nobody', workflowId, args: ['input', 'steps'] as [string, string] };
    const begun = await (await client(OLD)).workflow.start(keyed, { ...options, memo: { who: 'memo' } });
    assert.equal(await isRunning(await client(NEW), workflowId), true);
    await begun.terminate();
    assert.equal(await isRunning(await client(NEW), workflowId), false);
  });

  it('has tasks tried again that a worker has no key for, and ends nothing: it goes on once the key is there', async () => {
    const [flows, steps] = [`flows-${randomUUID()}`, `steps-${randomUUID()}`];
    const without = [await startWorker(flows, [OLD], 'workflows'), await startWorker(steps, [OLD], 'steps')];
    const handle = await (
      await client(NEW)
    ).workflow.start(keyed, {
      taskQueue: flows,
      workflowId: randomUUID(),
      args: ['input', steps],
      workflowTaskTimeout: '1s', // of a repeated failure the SDK says nothing: the server waits this long
    });
    await handle.signal(goSignal, 'told');
    await eventually('the workflow task failed', async () =>
      (await handle.fetchHistory()).events?.some((event) => event.workflowTaskFailedEventAttributes) ? true : undefined,
    );
    assert.equal((await handle.describe()).status.name, 'RUNNING');

    await without[0]?.();
    await startWorker(flows, [NEW, OLD], 'workflows');
    const { lastFailure } = await eventually('the step failed', async () => {
      const [pending] = (await handle.describe()).raw.pendingActivities ?? [];
      return pending?.lastFailure && (pending.attempt ?? 0) > 1 ? pending : undefined;
    });
    assert.equal(lastFailure?.message, 'Encoded failure');
    assert.match(lines.join(''), /"reason":"no key 2026-11: add it to TEMPORAL_PAYLOAD_KEYS/);

    await without[1]?.();
    await startWorker(steps, [OLD, NEW], 'steps');
    assert.equal(await handle.result(), 'INPUT-FIRST, TOLD-SECOND');
  });
});
