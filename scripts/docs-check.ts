import { existsSync, readFileSync } from 'node:fs';
import { readdir } from 'node:fs/promises';
import { dirname, join } from 'node:path';

import { ERROR_CODES, httpStatusOf } from '../domain/errors.ts';
import { ASYNC_API_FILE, asyncApiText } from './asyncapi-text.ts';
import { OPEN_API_FILE, openApiText } from './openapi-text.ts';

const NOT_OURS = /(^|\/)(node_modules|dist|generated|test-results|coverage|\.git|\.data)\//;

/** Files whose text may name a document. */
const CITING = /(\.([cm]?[jt]s|ya?ml|prisma|sql)|(^|\/)Dockerfile|^\.ci\/run)$/;

const problems: string[] = [];
const FILES = (await readdir('.', { recursive: true })).filter((name) => !NOT_OURS.test(name));
problems.push(...errorTable(), ...npmScripts(), ...relativeLinks(), ...citedDocuments());
problems.push(...(await asyncApi()), ...openApi());
for (const problem of problems) process.stdout.write(`${problem}\n`);
process.exitCode = problems.length === 0 ? 0 : 1;

/** Every code with its status is a row of docs/errors.md, and every row is a code. */
function errorTable(): string[] {
  const file = 'docs/errors.md';
  const rows = [...read(file).matchAll(/^\| `([A-Z_]+)` +\| +(\d{3}) +\|/gm)];
  const documented = new Map(rows.map(([, code, status]) => [String(code), Number(status)]));
  const codes: readonly string[] = ERROR_CODES;
  return [
    ...ERROR_CODES.filter((code) => documented.get(code) !== httpStatusOf(code)).map(
      (code) => `${file}: no row for ${code} with status ${httpStatusOf(code)}`,
    ),
    ...[...documented.keys()]
      .filter((code) => !codes.includes(code))
      .map((code) => `${file}: ${code} is no error code`),
    ...(documented.size === rows.length ? [] : [`${file}: a code has two rows`]),
  ];
}

/** Every `npm run <script>` that README.md tells people to type exists. */
function npmScripts(): string[] {
  const { scripts } = JSON.parse(readFileSync('package.json', 'utf8')) as { scripts: Record<string, string> };
  const used = [...read('README.md').matchAll(/npm run ([a-z][a-z:-]*)/g)].map(([, name]) => String(name));
  const unknown = used.filter((name) => scripts[name] === undefined);
  return [...new Set(unknown)].map((name) => `README.md: there is no script ${name}`);
}

/** Every relative link of every Markdown file leads to a file or folder. */
function relativeLinks(): string[] {
  return FILES.filter((name) => name.endsWith('.md')).flatMap((file) => {
    const prose = read(file).replace(/^```[\s\S]*?^```/gm, '');
    const links = [...prose.matchAll(/\]\(([^)\s]+)(?: "[^"]*")?\)/g)].map(([, target]) => String(target));
    return links
      .filter((target) => !/^([a-z]+:|#)/i.test(target))
      .map((target) => decodeURIComponent(target.split('#')[0] ?? ''))
      .filter((target) => !existsSync(join(target.startsWith('/') ? '.' : dirname(file), target)))
      .map((target) => `${file}: the link to ${target} leads nowhere`);
  });
}

/**
 * Every document that code or configuration names is there: one that only its author has explains nothing to a reader. A
 * path is read from the top of the repository; a bare name may be that of a file below `docs/` or beside the text.
 */
function citedDocuments(): string[] {
  const documents = new Set(FILES.filter((name) => name.endsWith('.md')).map((name) => name.replaceAll('\\', '/')));
  return FILES.filter((name) => CITING.test(name)).flatMap((file) =>
    [...read(file).matchAll(/(?<![\w./-])[\w.-]+(?:\/[\w.-]+)*\.md\b/g)]
      .map(([cited]) => cited)
      .filter((cited) => !documents.has(cited) && !documents.has(`docs/${cited}`))
      .map((cited) => `${file}: there is no ${cited}`),
  );
}

/** The document of the events is the one that the catalogue makes. */
async function asyncApi(): Promise<string[]> {
  const isSame = read(ASYNC_API_FILE) === (await asyncApiText());
  return isSame ? [] : [`${ASYNC_API_FILE} is not what the catalogue says: run \`npm run events:asyncapi\``];
}

/** The document of the API is the one that its operations make. */
function openApi(): string[] {
  const isSame = read(OPEN_API_FILE) === openApiText();
  return isSame ? [] : [`${OPEN_API_FILE} is not what the operations say: run \`npm run openapi\``];
}

function read(file: string): string {
  if (existsSync(file)) return readFileSync(file, 'utf8');
  problems.push(`${file} is missing`);
  return '';
}
