import { readFileSync } from 'node:fs';

import { format, resolveConfig } from 'prettier';
import { stringify } from 'yaml';

import { asyncApiDocument } from '../events/async-api.ts';

export const ASYNC_API_FILE = 'docs/asyncapi.yaml';

/** What `docs/asyncapi.yaml` has to be. */
export async function asyncApiText(): Promise<string> {
  const { version } = JSON.parse(readFileSync('package.json', 'utf8')) as { version: string };
  const head = '# Made from events/catalogue.ts by `npm run events:asyncapi`. Change the catalogue, not this file.\n';
  const text = head + stringify(asyncApiDocument(version), { aliasDuplicateObjects: false });
  return format(text, { ...(await resolveConfig(ASYNC_API_FILE)), parser: 'yaml' });
}
