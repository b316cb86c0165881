import { runProcess } from '../infra/process.ts';
import { startApi } from './start.ts';

await runProcess('api', startApi);
