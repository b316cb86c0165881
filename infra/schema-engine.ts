import { readFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';

import { PrismaPg } from '@prisma/adapter-pg';
import { bindMigrationAwareSqlAdapterFactory, DriverAdapterError } from '@prisma/driver-adapter-utils';
import * as engineModule from '@prisma/schema-engine-wasm/schema_engine_bg';
import pg from 'pg';

export type SchemaEngine = engineModule.SchemaEngine;

/** The types of Node 20 leave it out, and the DOM's would bring all of the browser. */
declare const WebAssembly: {
  instantiate(bytes: Uint8Array, imports: object): Promise<{ instance: { exports: { __wbindgen_start(): void } } }>;
};

const NO_MODELS = 'datasource db {\n  provider = "postgresql"\n}';

let loading: Promise<void> | undefined;

/**
 * Runs `work` with Prisma's own migration engine, in its WebAssembly build: the ordinary one is a native program that
 * Prisma downloads on first use. Both keep their history in `_prisma_migrations`.
 *
 * @param schema text of the Prisma schema, wanted only for comparing; migrations need none
 */
export async function withSchemaEngine<T>(
  url: string,
  work: (engine: SchemaEngine) => Promise<T>,
  schema = NO_MODELS,
): Promise<T> {
  await (loading ??= load());
  // One connection, because the engine takes an advisory lock, which belongs to a session, not to a pool.
  const connections = new WholeScripts({ connectionString: url, max: 1 });
  const adapter = bindMigrationAwareSqlAdapterFactory(connections);
  const datamodels: [string, string][] = [['schema.prisma', schema]];
  try {
    const engine = await engineModule.SchemaEngine.new({ datamodels }, ignoreLog, adapter);
    try {
      return await work(engine);
    } finally {
      engine.free();
    }
  } finally {
    await connections.close();
  }
}

/**
 * Prisma's adapter cuts a script at every semicolon, also inside the body of a function, and runs the pieces one by one.
 * Sent whole, a script is one implicit transaction: a migration that fails leaves nothing behind.
 */
class WholeScripts extends PrismaPg {
  readonly #opened: { dispose(): Promise<void> }[] = [];

  override async connect() {
    const adapter = await super.connect();
    this.#opened.push(adapter);
    adapter.executeScript = async (script) => {
      await adapter
        .underlyingDriver()
        .query(script)
        .catch((error: unknown) => {
          throw error instanceof pg.DatabaseError ? inItsOwnWords(error, script) : error;
        });
    };
    return adapter;
  }

  /** The engine leaves its connections open, and with them its lock, on which the next one would wait ten seconds. */
  async close(): Promise<void> {
    for (const adapter of this.#opened.splice(0)) await adapter.dispose();
  }
}

/** Adapter and engine would reword what PostgreSQL says where they know its code, and drop where it says it. */
function inItsOwnWords(error: pg.DatabaseError, script: string): DriverAdapterError {
  const { severity = 'ERROR', detail, hint, column, position } = error;
  const line = position === undefined ? '' : ` (line ${script.slice(0, Number(position)).split('\n').length})`;
  return new DriverAdapterError({
    kind: 'postgres',
    code: '',
    severity,
    message: `${error.message}${line}`,
    detail,
    hint,
    column,
  });
}

// The engine repeats in its log what it throws or answers.
const ignoreLog = (): void => undefined;

async function load(): Promise<void> {
  const entry = createRequire(import.meta.url).resolve('@prisma/schema-engine-wasm/schema_engine_bg');
  const bytes = await readFile(join(dirname(entry), 'schema_engine_bg.wasm'));
  const { instance } = await WebAssembly.instantiate(bytes, { './schema_engine_bg.js': engineImports() });
  engineModule.__wbg_set_wasm(instance.exports);
  instance.exports.__wbindgen_start();
}

/** The engine's limit for its lock runs on for ten seconds after the lock, and would keep a finished process alive. */
function engineImports(): Record<string, unknown> {
  const imports: Record<string, unknown> = { ...engineModule };
  const name = Object.keys(imports).find((key) => key.startsWith('__wbg_setTimeout_'));
  if (name === undefined) throw new Error('This is no build of the Prisma schema engine that we know.');
  imports[name] = (callback: () => void, ms: number) => setTimeout(callback, ms >>> 0).unref();
  return imports;
}
