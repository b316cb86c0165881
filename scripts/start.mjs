import { ensureInstalled } from './bootstrap.mjs';
import { runTypeScript } from './child.mjs';

await ensureInstalled({ quiet: false });
process.exitCode = await runTypeScript('cli/start.ts', process.argv.slice(2));
