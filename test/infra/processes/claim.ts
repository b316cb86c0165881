import { setTimeout as sleep } from 'node:timers/promises';

import { AlreadyRunning, claimDataDir } from '../../../infra/embedded/supervisor/run-record.ts';

/** Tries to take the folder given as the argument, says how it went, and stays for a while. */
const LIFE_MS = 60_000;
const [dataDir = ''] = process.argv.slice(2);
process.on('disconnect', () => process.exit(0));
try {
  claimDataDir(dataDir);
  process.send?.('taken');
} catch (error) {
  if (!(error instanceof AlreadyRunning)) throw error;
  process.send?.('refused');
}
await sleep(LIFE_MS);
