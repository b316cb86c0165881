import { Command, InvalidArgumentError, Option } from 'commander';

import { isDatabaseId } from '../domain/ids.ts';
import { type Role, ROLES } from '../domain/roles.ts';
import { ConfigError, readConfig } from '../infra/config.ts';
import { signToken } from '../infra/tokens.ts';

const program = new Command('token')
  .description('Prints a bearer token signed with the local development key.')
  .requiredOption('--sub <id>', 'id of the user', userId)
  .addOption(new Option('--role <role>', 'what the user may do').choices(ROLES).default('customer'))
  .option('--expires <span>', 'how long it is valid, for example 90s, 15m, 1h or 7d', span, '1h')
  .addHelpText('after', '\nExample:\n  npm run token -- --sub 7 --role customer --expires 1h');

program.parse();

try {
  const { sub, role, expires } = program.opts<{ sub: string; role: Role; expires: string }>();
  process.stdout.write(`${await signToken(readConfig(), { sub, role, expires })}\n`);
} catch (error) {
  if (!(error instanceof ConfigError)) throw error;
  process.stderr.write(`token: ${error.message}\n`);
  process.exitCode = 1;
}

function userId(value: string): string {
  if (!isDatabaseId(value)) throw new InvalidArgumentError('a user id is a whole number above 0.');
  return value;
}

function span(value: string): string {
  if (!/^[1-9]\d{0,5}[smhdw]$/.test(value)) throw new InvalidArgumentError('use a number and s, m, h, d or w.');
  return value;
}
