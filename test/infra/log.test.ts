import assert from 'node:assert/strict';

import { context } from '@opentelemetry/api';
import { ApplicationFailure } from '@temporalio/common';

import { openLog } from '../../infra/log.ts';
import { errorForLog, scrubbed } from '../../infra/redact.ts';
import { contextOf, logFields, withRequestId } from '../../infra/trace-context.ts';
import { Prisma } from '../../prisma/platform/generated/client.ts';
import { runtimeOptions } from '../../workers/runtime-log.ts';

const EMAIL = 'canary.bird@example.test';
const PHONE = '+82 10-1234-5678';
const CARD = '4242 4242 4242 4242';
const TOKEN = 'eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl';
const PLANTED = [EMAIL, PHONE, CARD, CARD.replaceAll(' ', ''), TOKEN, 'tok_canary', 'Canary Bird', 'hunter2'];

type Line = Readonly<Record<string, unknown>>;

function openLines() {
  const lines: string[] = [];
  const log = openLog({ logLevel: 'trace' }, 'test', { write: (line) => void lines.push(line) });
  const only = (): Line => {
    assert.equal(lines.length, 1, lines.join(''));
    return JSON.parse(lines[0] ?? '') as Line;
  };
  return { log, only, text: () => lines.join('') };
}

function holdsNothingPlanted(text: string): void {
  for (const planted of PLANTED) assert.ok(!text.includes(planted), `${planted} is in ${text}`);
}

describe('a line of the log', () => {
  for (const key of [
    'authorization',
    'cookie',
    'set-cookie',
    'idempotency-key',
    'idempotencyKey',
    'token',
    'password',
  ]) {
    it(`tells no ${key}, however deep it is`, () => {
      const { log, only } = openLines();
      log.info({ [key]: 'hunter2', a: { [key]: 'hunter2', b: { [key]: 'hunter2', c: { [key]: 'hunter2' } } } }, 'x');
      const hidden = '[redacted]';
      const { [key]: top, a } = only();
      assert.equal(top, hidden);
      assert.deepEqual(a, { [key]: hidden, b: { [key]: hidden, c: { [key]: hidden } } });
    });
  }

  for (const key of ['email', 'fullName', 'phone', 'username', 'headers', 'body', 'detail', 'parameters']) {
    it(`tells no ${key} of a person or a statement`, () => {
      const { log, text } = openLines();
      log.warn({ [key]: 'Canary Bird', user: { [key]: ['Canary Bird'] } }, 'x');
      holdsNothingPlanted(text());
    });
  }

  it('holds no personal data or secret that got into a text', () => {
    const { log, text, only } = openLines();
    log.error(
      { note: `of ${EMAIL}`, list: [PHONE, { deep: CARD }], url: 'postgresql://commerce:hunter2@db.test:5432/x' },
      `${TOKEN} and Bearer hunter2 and ${CARD} and tok_canary`,
    );
    holdsNothingPlanted(text());
    assert.equal(only()['url'], 'postgresql://[redacted]@db.test:5432/x');
    assert.equal(only()['msg'], '[redacted] and Bearer [redacted] and [redacted] and [redacted]');
  });

  it('stays JSON, and keeps ids, clocks and amounts as they are', () => {
    const { log, only } = openLines();
    // The second number adds up as a card's: a number is no text, and nobody keeps a card as one.
    const facts = {
      ...{ amount: 1_764_000_000_000, sum: 4_242_424_242_424_242, at: '2026-11-23T05:00:00.000Z', version: '0.1.0' },
      ...{ orderId: '0f8fad5b-d9cb-569f-a165-708677289501', trace: '4bf92f3577b34da6a3ce929d0e0e4736' },
      ...{ orderNumber: '20261122-7K3M9Q', offset: '1764000000000', place: 'order.events/3/17' },
    };
    log.info(facts, 'x');
    const line = only();
    assert.deepEqual(Object.fromEntries(Object.keys(facts).map((key) => [key, line[key]])), facts);
  });

  it('stays JSON, and tells nothing, where such a text begins a line or stands in a list', () => {
    for (const planted of [EMAIL, PHONE, CARD, CARD.replaceAll(' ', ''), TOKEN, 'tok_canary', '010-1234-5678']) {
      for (const before of ['\n', '\t', '\u0001', '\\', '"']) {
        const { log, only } = openLines();
        log.info({ note: `a${before}${planted}` }, `a${before}${planted}${before}b`);
        assert.equal(only()['note'], `a${before}[redacted]`);
        assert.equal(only()['msg'], `a${before}[redacted]${before}b`);
      }
    }
    const { log, only } = openLines();
    log.info({ list: [4_242_424_242_424_242, 3] }, 'x');
    assert.deepEqual(only()['list'], ['[redacted]', 3]);
  });

  it('has the ids of the request that it is about', () => {
    const traced = contextOf({ traceparent: `00-${'a'.repeat(32)}-${'b'.repeat(16)}-00` });
    const fields = logFields(withRequestId(traced, 'req-1'));
    assert.deepEqual(fields, { trace_id: 'a'.repeat(32), requestId: 'req-1' });
    assert.deepEqual(logFields(context.active()), {});
  });
});

describe('an error in the log', () => {
  /** As node-postgres makes them: every field of the protocol is a property. */
  const databaseError = Object.assign(new Error('duplicate key value violates unique constraint "users_email_key"'), {
    ...{ name: 'error', severity: 'ERROR', code: '23505', constraint: 'users_email_key', table: 'users' },
    ...{ detail: `Key (email)=(${EMAIL}) already exists.`, where: `SQL statement ${CARD}`, parameters: [PHONE] },
  });

  it('of PostgreSQL names the constraint, and not the row', () => {
    const { log, only, text } = openLines();
    log.error({ err: databaseError }, 'failed');
    holdsNothingPlanted(text());
    const { code, sqlState, constraint, table, severity } = only()['err'] as Line;
    assert.deepEqual(
      [code, sqlState, constraint, table, severity],
      ['23505', '23505', 'users_email_key', 'users', 'ERROR'],
    );
  });

  it('of PostgreSQL does not quote the value that it did not understand', () => {
    const error = Object.assign(new Error('invalid input syntax for type bigint: "Canary Bird"'), { code: '22P02' });
    const { message } = errorForLog(error) as Line;
    assert.equal(message, 'invalid input syntax for type bigint: [redacted]');
  });

  it('of Prisma shows what is wrong with a query, and not its arguments', () => {
    const options = { clientVersion: '7.10.0', meta: { target: ['email'], value: EMAIL } };
    const shown = `\nInvalid \`prisma.user.create()\` invocation:\n\n{ fullName: "Canary Bird" }\n\nUnique constraint failed on the fields: (\`email\`)`;
    const known = new Prisma.PrismaClientKnownRequestError(shown, { ...options, code: 'P2002' });
    const told = errorForLog(new Error('could not store', { cause: known })) as { cause: Line };
    holdsNothingPlanted(JSON.stringify(told));
    assert.equal(told.cause['code'], 'P2002');
    assert.equal(told.cause['message'], 'Unique constraint failed on the fields: (`email`)');
  });

  it('of Temporal names the refusal, and not what the step was called with', () => {
    const failure = ApplicationFailure.create({
      message: `declined for ${EMAIL}`,
      type: 'PAYMENT_DECLINED',
      nonRetryable: true,
      details: [{ token: 'tok_canary', name: 'Canary Bird' }],
      cause: databaseError,
    });
    const { log, only, text } = openLines();
    runtimeOptions(log).logger?.warn('Activity failed', { error: failure, attempt: 1n, taskQueue: 'payments' });
    holdsNothingPlanted(text());
    const err = only()['err'] as Line;
    assert.deepEqual([err['failureType'], err['nonRetryable']], ['PAYMENT_DECLINED', true]);
    assert.equal((err['cause'] as Line)['sqlState'], '23505');
    assert.equal(only()['attempt'], '1');
  });

  it('of a step that the worker could not begin does not show what it was called with', () => {
    const { log, only } = openLines();
    const task = JSON.stringify({ start: { input: [{ data: Buffer.from('"tok_canary"').toString('base64') }] } });
    runtimeOptions(log).logger?.error('Error while processing ActivityTask.start', {
      task,
      taskEncoded: 'dG9r',
      attempt: 1,
    });
    assert.deepEqual([only()['task'], only()['taskEncoded'], only()['attempt']], [undefined, undefined, 1]);
  });

  it('keeps where it was thrown, also through its causes, and ends with a chain that has no end', () => {
    const error = new Error(`outer ${CARD}`);
    error.cause = error;
    const text = JSON.stringify(errorForLog(error));
    holdsNothingPlanted(text);
    assert.match(text, /log\.test\.ts/);
  });

  it('of several keeps each', () => {
    const told = errorForLog(new AggregateError([new Error(EMAIL), 'tok_canary'], 'both')) as { errors: unknown[] };
    assert.equal(told.errors.length, 2);
    holdsNothingPlanted(JSON.stringify(told));
  });
});

describe('text of which personal data is taken', () => {
  it('takes card numbers as they are written, and nothing that only looks like one', () => {
    for (const card of ['4242424242424242', CARD, '5555-5555-5555-4444', '378282246310005']) {
      assert.equal(scrubbed(`"${card}"`), '"[redacted]"');
    }
    for (const [beside, left] of [
      ['of 4242424242424242 12/28 123', 'of [redacted] 12/28 123'],
      ['2026-11-23 4242 4242 4242 4242 123', '2026-11-23 [redacted] 123'],
      ['17 378282246310005, 5555-5555-5555-4444 4242424242424242', '17 [redacted], [redacted] [redacted]'],
    ] as const) {
      assert.equal(scrubbed(beside), left);
    }
    for (const other of ['4242424242424241', '20261123', 'a4242424242424242', '1.4242424242424242']) {
      assert.equal(scrubbed(`"${other}"`), `"${other}"`);
    }
  });

  it('is as long as it wants without taking long', () => {
    // Patterns that try every split of such a text would take minutes: mocha's own limit is the test.
    for (const part of ['eyJ-', '(', '4', '4 ', 'a.', '+1 ', 'a@', 'postgres://', '0', '-', 'eyJ.', '=(']) {
      const text = part.repeat(50_000);
      assert.equal(typeof scrubbed(text), 'string');
      assert.equal(typeof errorForLog(Object.assign(new Error(text), { code: '22P02' })), 'object');
    }
  });
});
