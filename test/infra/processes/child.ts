import { setTimeout as sleep } from 'node:timers/promises';

/** A process for the supervisor's tests; BEHAVIOUR says how it behaves. Gone at the latest after two minutes. */
const LIFE_MS = 120_000;
const behaviour = process.env['BEHAVIOUR'];

process.on('SIGTERM', () => {
  if (behaviour !== 'stubborn') process.exit(0);
});
process.on('disconnect', () => process.exit(0));
process.stdout.write('one ordinary line\n');
if (behaviour === 'dies') {
  process.stdout.write(`${JSON.stringify({ level: 60, msg: 'no such key', err: { message: 'KEY is not set' } })}\n`);
  process.exit(3);
}
if (behaviour !== 'silent') process.send?.({ ready: true, url: 'http://127.0.0.1:1' });
await sleep(LIFE_MS);
