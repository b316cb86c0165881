import { stringify } from 'yaml';

import { OPERATIONS } from '../api/contract/operations.ts';
import { openApiDocument } from '../api/open-api.ts';

export const OPEN_API_FILE = 'docs/openapi.yaml';

/** What `docs/openapi.yaml` has to be. It is written once and read by few: formatting ten thousand lines takes seconds. */
export function openApiText(): string {
  const head = '# Made from api/contract by `npm run openapi`. Change the operations, not this file.\n';
  return head + stringify(openApiDocument(OPERATIONS), { aliasDuplicateObjects: false, lineWidth: 0 });
}
