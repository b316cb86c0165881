import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { cp, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

import { runCommand } from '../../infra/embedded/child.ts';

const ROOT = fileURLToPath(new URL('../../', import.meta.url));
const TSX = join(ROOT, 'node_modules/tsx/dist/loader.mjs');
const LIMIT_MS = 25_000;
const RELEASE = (JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')) as { version: string }).version;
/** Put together here, because the check reads this file too. */
const md = (name: string): string => `${name}.md`;

describe('the check of the documents', function () {
  this.timeout(30_000);
  let folder: string;
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'commerce-saga-docs-'));
    await put('README.md', 'See [the errors](docs/errors.md); type `npm run check`.\n');
    await put('package.json', JSON.stringify({ version: RELEASE, scripts: { check: 'true' } }));
    for (const file of [
      'docs/errors.md',
      'docs/asyncapi.yaml',
      'docs/openapi.yaml',
      'domain/errors.ts',
      '.prettierrc.json',
      '.editorconfig',
    ]) {
      await cp(join(ROOT, file), join(folder, file));
    }
  });
  afterEach(() => rm(folder, { recursive: true, force: true }));

  async function put(file: string, text: string): Promise<void> {
    await mkdir(dirname(join(folder, file)), { recursive: true });
    await mkdir(join(folder, 'docs'), { recursive: true });
    await writeFile(join(folder, file), text);
  }

  const check = () =>
    runCommand(process.execPath, ['--import', TSX, join(ROOT, 'scripts/docs-check.ts')], LIMIT_MS, { cwd: folder });

  it('accepts documents that are cited by their path or by their name', async () => {
    await put('domain/a.ts', '/** See docs/errors.md, which is errors.md; not https://example.com/other.md */\n');
    await put('docker-compose.yml', '# see docs/errors.md\n');
    assert.deepEqual(await check(), { code: 0, signal: null, output: '' });
  });

  it('names every file that cites a document or leads to a place that no clone has', async () => {
    await put('domain/a.ts', `// as ${md('saga')} says, "Money"\n`);
    await put('docker-compose.yml', `# see docs/${md('deploying')}\n`);
    await put(`docs/${md('b')}`, `[gone](${md('gone')}) and [here](errors.md)\n`);
    const { code, output } = await check();
    assert.equal(code, 1);
    assert.deepEqual(output.trim().split('\n').sort(), [
      `docker-compose.yml: there is no docs/${md('deploying')}`,
      `docs/${md('b')}: the link to ${md('gone')} leads nowhere`,
      `domain/a.ts: there is no ${md('saga')}`,
    ]);
  });
});
