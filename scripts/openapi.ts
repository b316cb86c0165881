import { writeFileSync } from 'node:fs';

import { Command } from 'commander';

import { OPERATIONS } from '../api/contract/operations.ts';
import { openApiDocument } from '../api/open-api.ts';
import { OPEN_API_FILE, openApiText } from './openapi-text.ts';

const { json } = new Command('npm run openapi --')
  .description(`Writes ${OPEN_API_FILE} from the operations of the API, which GET /openapi.json answers.`)
  .option('--json', 'print the document as JSON, and write nothing', false)
  .parse()
  .opts<Readonly<{ json: boolean }>>();

if (json) process.stdout.write(`${JSON.stringify(openApiDocument(OPERATIONS), null, 2)}\n`);
else {
  writeFileSync(OPEN_API_FILE, openApiText());
  process.stdout.write(`${OPEN_API_FILE} is written\n`);
}
