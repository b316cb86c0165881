import { z } from 'zod';

/** What the environment may say of the API alone: a part of the variables that `config.ts` reads. */
export const apiVariables = {
  JWT_ISSUER: z.string().min(1).default('commerce-saga'),
  JWT_AUDIENCE: z.string().min(1).default('commerce-saga-api'),
  JWKS_URL: z.url({ protocol: /^https?$/ }).optional(),
  CORS_ORIGINS: z.string().default(''),
  /** Where Temporal Web is opened from: the codec endpoint answers pages of these origins alone. */
  CODEC_ORIGINS: z
    .string()
    .default('')
    .transform((text) => listOf(text))
    .refine(
      (all) => all.every(isOrigin),
      'must be origins such as https://temporal.example, several with commas between',
    ),
  TRUST_PROXY: z.coerce.number().int().min(0).max(10).default(0),
  RATE_LIMIT_PER_MINUTE: z.coerce.number().int().min(1).default(6_000),
  /** Declined cards of one customer within an hour; after that none of theirs is tried for a while. */
  DECLINED_CARDS_PER_HOUR: z.coerce.number().int().min(1).default(100),
  /** Connections that the API has open at a time. */
  MAX_CONNECTIONS: z.coerce.number().int().min(1).default(5_000),
  /** How long `/readyz` says 503 before the API takes no more requests: for a balancer to notice. */
  SHUTDOWN_DELAY_MS: z.coerce.number().int().min(0).default(0),
  /** Streams of order events that one caller, and one process, may have open. */
  EVENT_STREAMS_PER_CALLER: z.coerce.number().int().min(1).default(10),
  EVENT_STREAMS_PER_PROCESS: z.coerce.number().int().min(1).default(1_000),
} as const;

export type ApiSettings = Readonly<{
  jwt: Readonly<{ issuer: string; audience: string; jwksUrl: string | undefined }>;
  corsOrigins: readonly string[];
  codecOrigins: readonly string[];
  /** Proxies in front of the API whose `X-Forwarded-For` is believed. */
  trustProxy: number;
  /** Requests that one caller, or one address without a token, may send within a minute. */
  rateLimitPerMinute: number;
  declinedCardsPerHour: number;
  maxConnections: number;
  /** Part of the grace for stopping, milliseconds. */
  shutdownDelayMs: number;
  eventStreams: Readonly<{ perCaller: number; perProcess: number }>;
}>;

export const apiSettings = (e: z.infer<z.ZodObject<typeof apiVariables>>): ApiSettings => ({
  jwt: { issuer: e.JWT_ISSUER, audience: e.JWT_AUDIENCE, jwksUrl: e.JWKS_URL },
  corsOrigins: listOf(e.CORS_ORIGINS),
  codecOrigins: e.CODEC_ORIGINS,
  trustProxy: e.TRUST_PROXY,
  rateLimitPerMinute: e.RATE_LIMIT_PER_MINUTE,
  declinedCardsPerHour: e.DECLINED_CARDS_PER_HOUR,
  maxConnections: e.MAX_CONNECTIONS,
  shutdownDelayMs: e.SHUTDOWN_DELAY_MS,
  eventStreams: { perCaller: e.EVENT_STREAMS_PER_CALLER, perProcess: e.EVENT_STREAMS_PER_PROCESS },
});

/** Parts between commas, without the blanks around them. */
export const listOf = (text: string): string[] =>
  text
    .split(',')
    .map((part) => part.trim())
    .filter((part) => part !== '');

/** With a path or a slash at its end it would be equal to what no browser sends. */
const isOrigin = (text: string): boolean => URL.canParse(text) && new URL(text).origin === text;
