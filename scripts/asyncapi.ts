import { writeFileSync } from 'node:fs';

import { ASYNC_API_FILE, asyncApiText } from './asyncapi-text.ts';

writeFileSync(ASYNC_API_FILE, await asyncApiText());
process.stdout.write(`${ASYNC_API_FILE} is written\n`);
