import { Command } from 'commander';

import { runProcess } from '../infra/process.ts';
import { startApi } from './start.ts';

new Command('npm run api --').description('Runs the API. Its settings are in the environment; see README.md.').parse();
await runProcess('api', startApi);
