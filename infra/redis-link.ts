import { createClient } from 'redis';

import type { Logger } from './log.ts';

type RedisClient = ReturnType<typeof clientOf>;

export type RedisLink = Readonly<{
  /**
   * The answer of a command.
   *
   * @throws at once while Redis is away, and soon when it is slow: the command itself may still be carried out
   */
  ask: <T>(command: (client: RedisClient) => Promise<T>) => Promise<T>;
  close: () => void;
}>;

export type RedisLinkOptions = Readonly<{
  url: string;
  log: Logger;
  /** What is done while Redis does not answer, for the log: `reading without it`. */
  meanwhile: string;
}>;

/** Whatever Redis is asked for, doing without it is better than waiting longer. */
const ANSWER_LIMIT_MS = 150;
/** Redis is left alone that long after it failed. */
const REST_MS = 500;
const CONNECT_LIMIT_MS = 2_000;
const LONGEST_PAUSE_MS = 2_000;
/** Of one process, sent and not answered: Redis that stands still must not fill our memory. */
const MOST_COMMANDS = 2_000;

/**
 * A connection to one Redis server that may be away, frozen or emptied at any time: nothing waits for it, and it comes back
 * by itself. Logged once when it goes and once when it is back.
 */
export function openRedisLink({ url, log, meanwhile }: RedisLinkOptions): RedisLink {
  const client = clientOf(url);
  let restUntilMs = 0;
  let failing = false;

  const fail = (error: unknown): void => {
    if (!failing) log.warn({ err: error }, `Redis does not answer: ${meanwhile} meanwhile`);
    failing = true;
  };
  client.on('error', fail);
  client.connect().catch(fail); // it goes on trying, and rejects only when it is closed before it was connected

  return {
    async ask(command) {
      if (!client.isReady || performance.now() < restUntilMs) throw new Error('Redis is away');
      try {
        const answer = await inTime(command(client));
        if (failing) log.info('Redis answers again');
        failing = false;
        return answer;
      } catch (error) {
        if (isMissingScript(error)) throw error;
        restUntilMs = performance.now() + REST_MS;
        fail(error);
        throw error;
      }
    },
    close: () => client.destroy(),
  };
}

const clientOf = (url: string) =>
  createClient({
    url,
    disableOfflineQueue: true,
    commandsQueueMaxLength: MOST_COMMANDS,
    socket: {
      connectTimeout: CONNECT_LIMIT_MS,
      reconnectStrategy: (retries) => Math.min(50 * 2 ** retries, LONGEST_PAUSE_MS),
    },
  });

/** Redis is well and has forgotten a script: whoever sent its hash loads it again. */
const isMissingScript = (error: unknown): boolean => error instanceof Error && error.message.startsWith('NOSCRIPT');

async function inTime<T>(answer: Promise<T>): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_resolve, reject) => {
    timer = setTimeout(() => reject(new Error(`no answer from Redis within ${ANSWER_LIMIT_MS} ms`)), ANSWER_LIMIT_MS);
  });
  try {
    return await Promise.race([answer, late]);
  } finally {
    clearTimeout(timer);
  }
}
