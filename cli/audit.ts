import { Command, InvalidArgumentError } from 'commander';

import { isClean } from '../infra/audit/audit.ts';
import { INVARIANT_IDS, type InvariantId, INVARIANTS } from '../infra/audit/finding.ts';
import { CannotLook } from '../infra/audit/snapshot.ts';
import { ConfigError, readConfig } from '../infra/config.ts';
import { progressLine } from './audit/progress.ts';
import { reportOf } from './audit/report.ts';
import { auditSystem } from './audit/system.ts';

type Options = Readonly<{ only: readonly InvariantId[]; temporal: boolean; json: boolean }>;

const list = INVARIANT_IDS.map((id) => `  ${id}  ${INVARIANTS[id]}`).join('\n');
const program = new Command('npm run audit --')
  .description('Looks whether the invariants hold in the databases as they are. Reads only, beside live traffic.')
  .option('--only <numbers>', 'some of the invariants, for example 1,3', invariants, INVARIANT_IDS)
  .option('--no-temporal', 'do not ask Temporal: what a running workflow may excuse is reported as unknown')
  .option('--json', 'print the result as JSON', false)
  .addHelpText(
    'after',
    `\nThe invariants:\n${list}\n` +
      '8 compares each row of the views with the databases of the services, and says which command repairs it.\n' +
      'Where events go by Kafka, 7 reads all that its topics hold, and needs KAFKA_BROKERS.\n\n' +
      'Works on *_DATABASE_URL, GATEWAY_URL and TEMPORAL_ADDRESS, or else on the system that `npm start` runs.\n' +
      'Exit codes: 0 when all hold, 1 with findings, 2 when it could not look at everything.',
  )
  // A mistyped command has looked at nothing, and must not read as a finding.
  .exitOverride(({ exitCode }) => process.exit(exitCode === 0 ? 0 : 2))
  .action(main);
await program.parseAsync();

async function main({ only, temporal, json }: Options): Promise<void> {
  const progress = progressLine(process.stderr);
  try {
    const audited = await auditSystem(readConfig(), { only, temporal, say: progress.say });
    progress.clear();
    process.stdout.write(json ? `${JSON.stringify(audited, null, 2)}\n` : `${reportOf(audited)}\n`);
    if (!isClean(audited)) process.exitCode = audited.findings.length > 0 ? 1 : 2;
  } catch (error) {
    progress.clear();
    if (!(error instanceof CannotLook) && !(error instanceof ConfigError)) throw error;
    process.stderr.write(`audit: ${error.message}\n`);
    process.exitCode = 2;
  }
}

function invariants(text: string): InvariantId[] {
  const asked = text.split(',').map((part) => Number(part.trim()));
  const known = asked.filter((id): id is InvariantId => INVARIANT_IDS.some((one) => one === id));
  if (known.length === asked.length) return known;
  throw new InvalidArgumentError(`numbers out of ${INVARIANT_IDS.join(', ')}, with commas between them.`);
}
