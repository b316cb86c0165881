import { existsSync, rmSync } from 'node:fs';
import { cp, writeFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';

import { bundleWorkflowCode, DefaultLogger } from '@temporalio/worker';

import { DATABASES } from '../infra/config.ts';
import { runCommand } from '../infra/embedded/child.ts';

const COMPILE_LIMIT_MS = 5 * 60_000;

const [folder = 'dist', ...more] = process.argv.slice(2);
if (folder === '--help') {
  process.stdout.write('Usage: npm run build -- [folder]\nCompiles to dist/, or to a folder that is not there yet.\n');
  process.exit();
}
if (folder.startsWith('-') || more.length > 0) fail('Usage: npm run build -- [folder]');
const out = resolve(folder);
if (out === resolve('dist')) rmSync(out, { recursive: true, force: true });
else if (existsSync(out)) fail(`${folder} is there already: name a folder that is not.`);

/**
 * Builds what production runs: the compiled programs, Prisma clients included, the migrations, and the workflows as one
 * file, so that a worker starts without a bundler. Beside the folder it needs node_modules and package.json, no sources.
 */
const tsc = join('node_modules', 'typescript', 'bin', 'tsc');
const args = [tsc, '-p', 'tsconfig.build.json', '--outDir', out];
const { code, output } = await runCommand(process.execPath, args, COMPILE_LIMIT_MS);
if (code !== 0) fail(`${output}\nThe build failed: tsc ended with ${code ?? 'a signal'}.`);
for (const name of DATABASES) {
  const migrations = join('prisma', name, 'migrations');
  await cp(migrations, join(out, migrations), { recursive: true });
}
// Bundled from the compiled files: what is built is what was checked.
const workflowsPath = join(out, 'workflows', 'index.js');
const failureConverterPath = join(out, 'workflows', 'failure-converter.js');
const workflowInterceptorModules = [join(out, 'workflows', 'tracing.js')];
const logger = new DefaultLogger('WARN');
const bundle = await bundleWorkflowCode({ workflowsPath, failureConverterPath, workflowInterceptorModules, logger });
await writeFile(join(out, 'workflow-bundle.js'), bundle.code);
process.stdout.write(`Built ${folder}/ and ${folder}/workflow-bundle.js.\n`);

function fail(reason: string): never {
  process.stderr.write(`${reason}\n`);
  process.exit(1);
}
