import { Command } from 'commander';

import { databaseUrl } from '../infra/config.ts';
import { findEndpoints, withEndpoints } from '../infra/endpoints.ts';
import { configOrExit } from '../infra/process.ts';
import { seedPlatform } from '../prisma/seed.ts';

const program = new Command('npm run seed')
  .description('Fills an empty platform with the development catalogue; one that holds anything is left alone.')
  .addHelpText('after', '\nWorks on PLATFORM_DATABASE_URL or else on the system that `npm start` runs.')
  .action(main);
await program.parseAsync();

async function main(): Promise<void> {
  const given = configOrExit();
  try {
    const url = databaseUrl(withEndpoints(given, findEndpoints(given.dataDir)), 'platform');
    const { seeded } = await seedPlatform(url, say);
    say(seeded ? 'seeded' : 'The platform holds data already, so it was left as it is.');
  } catch (error) {
    process.stderr.write(`seed: ${error instanceof Error ? error.message : String(error)}\n`);
    process.exitCode = 1;
  }
}

function say(line: string): void {
  process.stdout.write(`${line}\n`);
}
