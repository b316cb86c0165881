/** Between two lines where there is no terminal, milliseconds. */
const PAUSE_MS = 5_000;

/** Says what long work is at: one line drawn over itself on a terminal, elsewhere a line now and then. */
export function progressLine(out: NodeJS.WriteStream) {
  let saidAt = Date.now();
  return {
    say: (what: string): void => {
      if (out.isTTY) out.write(`\r\u001b[K${what} …`);
      else if (Date.now() - saidAt >= PAUSE_MS) {
        saidAt = Date.now();
        out.write(`${what} …\n`);
      }
    },
    /** Before anything else is written. */
    clear: (): void => {
      if (out.isTTY) out.write('\r\u001b[K');
    },
  };
}
