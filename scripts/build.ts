import { rmSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

import { bundleWorkflowCode } from '@temporalio/worker';

import { runCommand } from '../infra/embedded/child.ts';

const COMPILE_LIMIT_MS = 5 * 60_000;

/**
 * Builds what production runs, into an empty dist/: the compiled programs, Prisma clients included, and the workflows as
 * one file, so that a worker starts without a bundler.
 */
rmSync('dist', { recursive: true, force: true });
const tsc = join('node_modules', 'typescript', 'bin', 'tsc');
const { code, output } = await runCommand(process.execPath, [tsc, '-p', 'tsconfig.build.json'], COMPILE_LIMIT_MS);
if (code !== 0) {
  process.stderr.write(`${output}\nThe build failed: tsc ended with ${code ?? 'a signal'}.\n`);
  process.exit(1);
}
// Bundled from the compiled files: what is built is what was checked.
const workflowsPath = fileURLToPath(new URL('../dist/workflows/index.js', import.meta.url));
const bundle = await bundleWorkflowCode({ workflowsPath });
await writeFile('dist/workflow-bundle.js', bundle.code);
process.stdout.write('Built dist/ and dist/workflow-bundle.js.\n');
