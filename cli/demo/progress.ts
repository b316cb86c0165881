const WIDTH = 30;

/** A bar that is drawn over itself on a terminal; elsewhere a line for every tenth of the way. */
export function progressBar(total: number, out: NodeJS.WriteStream): { step: () => void } {
  let done = 0;
  return {
    step() {
      done++;
      const filled = Math.round((WIDTH * done) / total);
      const count = `${done}/${total}`;
      if (out.isTTY)
        out.write(`\r${'█'.repeat(filled)}${'░'.repeat(WIDTH - filled)} ${count}${done < total ? '' : '\n'}`);
      else if (Math.floor((10 * done) / total) > Math.floor((10 * (done - 1)) / total)) out.write(`${count} orders\n`);
    },
  };
}
