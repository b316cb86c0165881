import { ensureInstalled } from './bootstrap.mjs';
import { runTypeScript } from './child.mjs';

const [file, ...args] = process.argv.slice(2);
if (file === undefined) {
  console.error('Usage: node scripts/run.mjs <file.ts> [arguments]');
  process.exit(2);
}
await ensureInstalled({ quiet: true });
process.exitCode = await runTypeScript(file, args);
