import { spawn } from 'node:child_process';
import { createRequire } from 'node:module';

import { ensureInstalled } from './bootstrap.mjs';

const LIMIT_MS = 60_000;

/**
 * Lints docs/openapi.yaml by the rules of redocly.yaml. The linter stays off the network, and it speaks only when something
 * is wrong: it would begin with news about itself.
 */
await ensureInstalled({ quiet: true });
const linter = createRequire(import.meta.url).resolve('@redocly/cli/bin/cli.js');
const env = { ...process.env, REDOCLY_TELEMETRY: 'off', REDOCLY_SUPPRESS_UPDATE_NOTICE: 'true', NO_COLOR: '1' };
const args = [
  linter,
  'lint',
  'docs/openapi.yaml',
  '--config',
  'redocly.yaml',
  '--format',
  'stylish',
  ...process.argv.slice(2),
];
const child = spawn(process.execPath, args, {
  env,
  timeout: LIMIT_MS,
  killSignal: 'SIGKILL',
  stdio: ['ignore', 'pipe', 'pipe'],
});
let output = '';
child.stdout.on('data', (chunk) => (output += chunk));
child.stderr.on('data', (chunk) => (output += chunk));
child.once('error', (error) => {
  console.error(`The linter cannot be started: ${error.message}`);
  process.exitCode = 1;
});
child.once('close', (code, signal) => {
  const isClean = code === 0 && !/\bYou have \d+ warning/.test(output);
  if (isClean) return console.log('docs/openapi.yaml keeps the rules.');
  console.error(output.trim() + (signal === null ? '' : `\nended by ${signal}`));
  process.exitCode = 1;
});
