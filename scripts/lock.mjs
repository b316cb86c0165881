import { randomUUID } from 'node:crypto';
import { mkdirSync, readFileSync, renameSync, rmSync, statSync, utimesSync, writeFileSync } from 'node:fs';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

const HEARTBEAT_MS = 2_000;
const STALE_AFTER_MS = 30_000;
const POLL_MS = 200;

/**
 * Runs `work` while no other process on this folder does: whoever makes the directory `path` has the lock. A lock is
 * taken over when its owner's process is gone, or when its heartbeat stopped 30 seconds ago (owner on another machine).
 *
 * @param onWait called once with the owner's text when we have to wait
 * @throws when the lock is still held after `timeoutMs` milliseconds
 */
export async function withLock(path, { timeoutMs, onWait }, work) {
  const token = randomUUID();
  const deadline = Date.now() + timeoutMs;
  let told = false;
  while (!acquire(path, token)) {
    if (removeIfStale(path)) continue;
    if (Date.now() > deadline) {
      throw new Error(
        `${path} is still held by ${describe(path)}. Wait for that process, or end it and run this again.`,
      );
    }
    if (!told) onWait(describe(path));
    told = true;
    await sleep(POLL_MS);
  }
  const heartbeat = setInterval(() => touch(path), HEARTBEAT_MS);
  try {
    return await work();
  } finally {
    clearInterval(heartbeat);
    if (ownerOf(path)?.token === token) rmSync(path, { recursive: true, force: true });
  }
}

function acquire(path, token) {
  // Made elsewhere and renamed into place, so that a lock without an owner's name never exists. Renaming onto a
  // directory that is not empty fails, and that failure is how we learn that somebody else has the lock.
  const prepared = `${path}.${token}`;
  mkdirSync(prepared);
  writeFileSync(join(prepared, 'owner.json'), JSON.stringify({ pid: process.pid, host: hostname(), token }));
  try {
    renameSync(prepared, path);
    return true;
  } catch (error) {
    rmSync(prepared, { recursive: true, force: true });
    if (['ENOTEMPTY', 'EEXIST', 'EPERM'].includes(error.code)) return false;
    throw error;
  }
}

function removeIfStale(path) {
  const owner = ownerOf(path);
  if (owner === undefined || !isStale(path, owner)) return false;
  // Two processes may judge the same lock: the rename lets one of them win, and it checks what it has taken.
  const taken = `${path}.stale-${randomUUID()}`;
  try {
    renameSync(path, taken);
  } catch {
    return false; // the other one was faster
  }
  if (ownerOf(taken)?.token === owner.token) {
    rmSync(taken, { recursive: true, force: true });
    return true;
  }
  renameSync(taken, path);
  return false;
}

function isStale(path, owner) {
  if (owner.host === hostname()) return !isAlive(owner.pid);
  return Date.now() - (statSync(path, { throwIfNoEntry: false })?.mtimeMs ?? Date.now()) > STALE_AFTER_MS;
}

function isAlive(pid) {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return error.code === 'EPERM';
  }
}

function ownerOf(path) {
  try {
    return JSON.parse(readFileSync(join(path, 'owner.json'), 'utf8'));
  } catch {
    return undefined; // no lock, or one that is being removed
  }
}

function touch(path) {
  const now = new Date();
  try {
    utimesSync(path, now, now);
  } catch {
    // The folder may have been deleted by hand; the work goes on and the lock is simply gone.
  }
}

function describe(path) {
  const owner = ownerOf(path);
  return owner === undefined ? 'another process' : `process ${owner.pid} on ${owner.host}`;
}
