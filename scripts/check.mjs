import { spawn } from 'node:child_process';

import { ensureInstalled } from './bootstrap.mjs';

/** npm scripts, quick ones first. */
const CHECKS = ['format:check', 'docs:check', 'openapi:lint', 'boundaries', 'typecheck', 'unused', 'lint'];
const LIMIT_MS = 10 * 60_000;

const [argument] = process.argv.slice(2);
if (argument !== undefined) {
  console.log(`Usage: npm run check\nRuns ${CHECKS.join(', ')}; each is a command of its own, which takes options.`);
  process.exit(argument === '--help' ? 0 : 2);
}
await ensureInstalled({ quiet: true });
const failed = [];
for (const name of CHECKS) {
  const startedAt = Date.now();
  const { ok, output } = await run(name);
  const seconds = ((Date.now() - startedAt) / 1_000).toFixed(1);
  console.log(`${ok ? 'ok    ' : 'FAILED'} ${name} (${seconds} s)`);
  if (ok) continue;
  failed.push(name);
  console.log(output);
}
console.log(failed.length === 0 ? 'All checks passed.' : `Failed: ${failed.join(', ')}`);
process.exitCode = failed.length === 0 ? 0 : 1;

function run(name) {
  const options = { timeout: LIMIT_MS, killSignal: 'SIGKILL', shell: process.platform === 'win32' };
  const child = spawn('npm', ['run', '--silent', name], { ...options, stdio: ['ignore', 'pipe', 'pipe'] });
  let output = '';
  child.stdout.on('data', (chunk) => (output += chunk));
  child.stderr.on('data', (chunk) => (output += chunk));
  return new Promise((resolve) => {
    child.once('error', (error) => resolve({ ok: false, output: `npm cannot be started: ${error.message}` }));
    child.once('close', (code, signal) => {
      const cut = signal ? `\nended by ${signal}; the limit is ${LIMIT_MS / 60_000} minutes` : '';
      resolve({ ok: code === 0, output: output.trim() + cut });
    });
  });
}
