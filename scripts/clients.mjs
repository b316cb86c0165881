import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';

import { ROOT } from './root.mjs';

const LIMIT_MS = 120_000;
const PRISMA = join(ROOT, 'node_modules', 'prisma', 'build', 'index.js');
const stampOf = (name) => join(ROOT, 'prisma', name, 'generated', '.stamp');

/** The databases whose client is missing or was made from another schema or by another Prisma. */
export const staleSchemas = () => databases().filter((name) => !isFresh(name));

/**
 * Makes the Prisma clients that are missing or out of date, under prisma/<database>/generated. Repeating it does
 * nothing. Works without the internet.
 *
 * @param force make all of them again
 * @throws with Prisma's own message when a schema is wrong
 */
export async function generateClients({ say, force = false }) {
  const queue = force ? databases() : staleSchemas();
  if (queue.length === 0) return;
  say(`Generating Prisma clients: ${queue.join(', ')} …`);
  const lanes = Math.min(queue.length, Math.max(2, availableParallelism()));
  await Promise.all(
    Array.from({ length: lanes }, async () => {
      for (let name = queue.shift(); name !== undefined; name = queue.shift()) await generate(name);
    }),
  );
}

function databases() {
  const folder = join(ROOT, 'prisma');
  return readdirSync(folder).filter((name) => existsSync(join(folder, name, 'schema.prisma')));
}

function isFresh(name) {
  return existsSync(stampOf(name)) && readFileSync(stampOf(name), 'utf8') === fingerprint(name);
}

/** Everything the generated code depends on. The version is read, not imported: Prisma may not be installed yet. */
function fingerprint(name) {
  const schema = readFileSync(join(ROOT, 'prisma', name, 'schema.prisma'));
  const manifest = join(ROOT, 'node_modules', 'prisma', 'package.json');
  const version = existsSync(manifest) ? JSON.parse(readFileSync(manifest, 'utf8')).version : 'none';
  return createHash('sha256').update(schema).update(version).digest('hex');
}

async function generate(name) {
  // Taken before the run: a schema that is edited meanwhile must count as newer.
  const stamp = fingerprint(name);
  rmSync(stampOf(name), { force: true });
  // Prisma fetches its Rust engine even where it never runs it, as here. Any executable in its place avoids that.
  const env = { ...process.env, DATABASE: name, PRISMA_SCHEMA_ENGINE_BINARY: process.execPath };
  const child = spawn(process.execPath, [PRISMA, 'generate'], {
    cwd: ROOT,
    env,
    timeout: LIMIT_MS,
    killSignal: 'SIGKILL',
  });
  let output = '';
  child.stdout.on('data', (chunk) => (output += chunk));
  child.stderr.on('data', (chunk) => (output += chunk));
  const [code, signal] = await new Promise((done, fail) => {
    child.once('error', fail);
    child.once('close', (...end) => done(end));
  });
  if (code !== 0) {
    throw new Error(`prisma generate for prisma/${name}/schema.prisma ended with ${signal ?? code}:\n${output.trim()}`);
  }
  writeFileSync(stampOf(name), stamp);
}
