import { defineConfig, env } from 'prisma/config';

import { DATABASES, readConfig } from './infra/config.ts';

/** Which of our databases a Prisma command works on: `DATABASE=order npx prisma migrate dev`. */
const asked = env('DATABASE');
const name = DATABASES.find((known) => known === asked);
if (name === undefined) throw new Error(`DATABASE=${asked} is none of ${DATABASES.join(', ')}.`);

const url = readConfig().databaseUrls[name];

export default defineConfig({
  schema: `prisma/${name}/schema.prisma`,
  migrations: { path: `prisma/${name}/migrations` },
  // Generating needs no database, so a missing URL is no error here.
  ...(url === undefined ? {} : { datasource: { url } }),
});
