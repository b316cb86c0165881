import assert from 'node:assert/strict';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { builtinModules } from 'node:module';
import { join, relative, resolve } from 'node:path';

import { DefaultLogger } from '@temporalio/worker';

import { bundle, workflowBundle, WORKFLOWS } from '../support/workflow-bundle.ts';

const ROOT = resolve(WORKFLOWS, '../..');
/** Bundling on a busy machine takes seconds. */
const BUNDLING_MS = 120_000;

/** What may be replayed: our workflows, our rules, what Temporal made for it, and the bundler's own glue. */
const MAY_BE_REPLAYED =
  /^(?:workflows\/|domain\/|node_modules\/(?:@temporalio\/(?:workflow|common)|nexus-rpc|ms|long)\/|webpack\/|ignored\|)/;

/** The modules of a bundle, as paths below the repository, read from the source map inside it. */
function modulesOf(code: string): string[] {
  const [, map] = /sourceMappingURL=data:application\/json;charset=utf-8;base64,([\w+/=]+)/.exec(code) ?? [];
  assert.ok(map, 'the bundle has no source map');
  const { sources } = JSON.parse(Buffer.from(map, 'base64').toString('utf8')) as { sources: string[] };
  return sources.map((source) => (source.startsWith(ROOT) ? relative(ROOT, source).replaceAll('\\', '/') : source));
}

const foreignModulesOf = (code: string): string[] => modulesOf(code).filter((name) => !MAY_BE_REPLAYED.test(name));

/** Node's modules that the code asks for when it runs. */
function builtinsOf(code: string): string[] {
  const asked = [...code.matchAll(/require\(["'](?:node:)?([\w/]+)["']\)/g)].map(([, name]) => name ?? '');
  return asked.filter((name) => builtinModules.includes(name));
}

/** Bundles one workflow file of this text, two folders below the root. @throws with what the bundler said */
async function bundleOf(source: string): Promise<string> {
  await mkdir(join(ROOT, 'test-results'), { recursive: true });
  const folder = await mkdtemp(join(ROOT, 'test-results', 'bundle-'));
  const said: string[] = [];
  try {
    await writeFile(join(folder, 'index.ts'), source);
    return (await bundle(join(folder, 'index.ts'), new DefaultLogger('ERROR', ({ message }) => said.push(message))))
      .code;
  } catch (error) {
    throw new Error([...said, String(error)].join('\n'), { cause: error });
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

describe('the workflow bundle', function () {
  this.timeout(BUNDLING_MS);

  it('holds our workflows and rules, and nothing that cannot be replayed', async () => {
    const { code } = await workflowBundle();
    assert.ok(modulesOf(code).includes('workflows/checkout.ts'));
    assert.deepEqual(foreignModulesOf(code), []);
    assert.deepEqual(builtinsOf(code), []);
  });

  for (const file of ['activities/refusals.ts', 'activities/inventory/activities.ts', 'events/ids.ts']) {
    it(`would be caught with ${file} in it`, async () => {
      const code = await bundleOf(
        `import * as foreign from '../../${file}';\nexport const checkout = () => foreign;\n`,
      );
      assert.ok(foreignModulesOf(code).includes(file), foreignModulesOf(code).join(', '));
    });
  }

  for (const name of ['node:fs', 'fs', '../../infra/databases.ts', 'pg', 'express']) {
    it(`cannot even be made with ${name} in it`, async () => {
      const source = `import * as foreign from '${name}';\nexport const checkout = () => foreign;\n`;
      await assert.rejects(bundleOf(source), /node:|Unhandled scheme|disallowed|Can't resolve/i);
    });
  }
});
