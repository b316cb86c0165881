import { spawn } from 'node:child_process';
import { constants } from 'node:os';

/** Two signals within this many milliseconds are one: the terminal and npm both deliver the same Ctrl-C. */
const SAME_SIGNAL_MS = 500;
const FORWARDED = ['SIGINT', 'SIGTERM', 'SIGHUP'];

/**
 * Runs a command with this process's input and output until it ends. The command gets its own process group, so that
 * a Ctrl-C reaches it once, through here, and not a second time from the terminal or npm.
 *
 * @returns its exit code; 128 + the signal's number when a signal ended it
 */
export function runChild(command, args, options = {}) {
  const child = spawn(command, args, { stdio: 'inherit', detached: process.platform !== 'win32', ...options });
  const stopForwarding = forwardSignals(child);
  return new Promise((resolve, reject) => {
    child.once('error', reject);
    child.once('exit', (code, signal) => resolve(code ?? 128 + constants.signals[signal]));
  }).finally(stopForwarding);
}

/**
 * Hands the signals that ask this process to end on to a child in a process group of its own, each once.
 *
 * @param onSignal told of each that was handed on
 * @returns a function that ends it
 */
export function forwardSignals(child, onSignal = () => undefined) {
  const lastSentAt = new Map();
  const forward = (signal) => {
    const now = Date.now();
    if (now - (lastSentAt.get(signal) ?? 0) < SAME_SIGNAL_MS) return;
    lastSentAt.set(signal, now);
    onSignal(signal);
    child.kill(signal);
  };
  for (const signal of FORWARDED) process.on(signal, forward);
  return () => {
    for (const signal of FORWARDED) process.off(signal, forward);
  };
}

/** `node --import tsx <file> <args>` from the repository's root: how every TypeScript entry is run from source. */
export const runTypeScript = (file, args, options) =>
  runChild(process.execPath, ['--import', 'tsx', file, ...args], options);
