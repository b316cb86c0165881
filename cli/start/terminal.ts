import { mkdirSync } from 'node:fs';
import { join } from 'node:path';

import { type LogFile, openLogFile } from '../../infra/embedded/supervisor/log-file.ts';

/** What `npm start` prints, and keeps in `<DATA_DIR>/logs/supervisor.log`. */
export type Terminal = Readonly<{
  /** One line about what happens. It waits while a progress display owns the terminal. */
  say: (line: string) => void;
  /** Text as it is, at once. */
  print: (text: string) => void;
  /** Keeps lines back until the returned function is called. */
  hold: () => () => void;
}>;

export function openTerminal(dataDir: string): Terminal {
  mkdirSync(join(dataDir, 'logs'), { recursive: true });
  const log: LogFile = openLogFile(join(dataDir, 'logs', 'supervisor.log'));
  // Whoever read our output may be gone (a closed pipe or terminal); the system goes on, and its log has the lines.
  process.stdout.on('error', () => undefined);
  process.stderr.on('error', () => undefined);

  let held: string[] | undefined;
  const print = (text: string) => void process.stdout.write(`${text}\n`);
  return {
    print,
    say(line) {
      log.write(`${new Date().toISOString()} ${line}`);
      if (held === undefined) print(line);
      else held.push(line);
    },
    hold() {
      held = [];
      return () => {
        for (const line of held ?? []) print(line);
        held = undefined;
      };
    },
  };
}
