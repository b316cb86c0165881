import assert from 'node:assert/strict';

import { pino } from 'pino';

import { runtimeOptions } from '../../workers/runtime-log.ts';

describe("the log of Temporal's runtime", () => {
  it('does not warn that a worker runs only workflows or only steps, and still warns of the rest', () => {
    const lines: { level: number; msg: string }[] = [];
    const { logger } = runtimeOptions(
      pino({ level: 'debug' }, { write: (line) => void lines.push(JSON.parse(line) as (typeof lines)[number]) }),
    );
    // In the SDK's own words (@temporalio/worker, worker.ts).
    logger?.warn('No activities registered, not polling for activity tasks');
    logger?.warn('No workflows registered, not polling for workflow tasks');
    logger?.warn('something else');

    assert.deepEqual(
      lines.map(({ level, msg }) => [level, msg.split(',')[0]]),
      [
        [20, 'No activities registered'],
        [20, 'No workflows registered'],
        [40, 'something else'],
      ],
    );
  });
});
