import { format, resolveConfig } from 'prettier';
import { stringify } from 'yaml';

import { OPERATIONS } from '../api/contract/operations.ts';
import { openApiDocument } from '../api/open-api.ts';

export const OPEN_API_FILE = 'docs/openapi.yaml';

/** What `docs/openapi.yaml` has to be. */
export async function openApiText(): Promise<string> {
  const head = '# Made from api/contract by `npm run openapi`. Change the operations, not this file.\n';
  const text = head + stringify(openApiDocument(OPERATIONS), { aliasDuplicateObjects: false });
  return format(text, { ...(await resolveConfig(OPEN_API_FILE)), parser: 'yaml' });
}
