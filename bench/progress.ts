const WIDTH = 30;
/** Where there is no terminal to draw on, a line is enough now and then. Milliseconds. */
const TOLD_EVERY_MS = 5_000;

/** Draws how far something is: over itself on a terminal, as lines elsewhere. */
export function progress(what: string, out: NodeJS.WriteStream): (done: number, total: number) => void {
  let toldAt = -Infinity;
  let ended = false;
  return (done, total) => {
    if (ended) return;
    const share = Math.min(1, done / total);
    ended = share === 1;
    if (out.isTTY) {
      const filled = Math.round(WIDTH * share);
      const end = share === 1 ? '\n' : '';
      out.write(`\r${what} ${'█'.repeat(filled)}${'░'.repeat(WIDTH - filled)} ${done}/${total}${end}`);
    } else if (share === 1 || performance.now() - toldAt >= TOLD_EVERY_MS) {
      out.write(`${what} ${done}/${total}\n`);
      toldAt = performance.now();
    }
  };
}
