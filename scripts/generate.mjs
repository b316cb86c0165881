import { ensureInstalled } from './bootstrap.mjs';
import { generateClients } from './clients.mjs';

// The set-up already makes what is missing or out of date; --force makes all of them again.
await ensureInstalled({ quiet: false });
if (process.argv.includes('--force')) await generateClients({ say: console.error, force: true });
