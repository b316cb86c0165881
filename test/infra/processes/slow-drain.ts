import { setTimeout as sleep } from 'node:timers/promises';

import { runProcess } from '../../../infra/process.ts';

/** A process of ours with work in hand that takes a while to finish, in milliseconds. */
const DRAIN_MS = 1_500;

const life = setInterval(() => undefined, 60_000);
await runProcess('slow-drain', () =>
  Promise.resolve({
    async close() {
      process.stdout.write('draining\n');
      await sleep(DRAIN_MS);
      process.stdout.write('drained\n');
      clearInterval(life);
    },
  }),
);
process.stdout.write('serving\n');
