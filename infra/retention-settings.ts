import { z } from 'zod';

/** Below this a consumer that is repaired after a long weekend may find its events gone. */
const FEWEST_BUS_DAYS = 7;
/** Providers repeat an event for weeks: until then its row says that it was handled. */
const FEWEST_WEBHOOK_DAYS = 30;
const MOST_DAYS = 3_650;

/** What the environment may say of how long things are kept: a part of the variables that `config.ts` reads. */
export const retentionVariables = {
  /** Days for which the log of the embedded bus keeps what every consumer has read. */
  BUS_RETENTION_DAYS: z.coerce.number().int().min(FEWEST_BUS_DAYS).max(MOST_DAYS).default(90),
  /** Days for which an event of the payment provider is kept that was handled. */
  WEBHOOK_RETENTION_DAYS: z.coerce.number().int().min(FEWEST_WEBHOOK_DAYS).max(MOST_DAYS).default(90),
} as const;

/** How long things are kept, in days. */
export type RetentionSettings = Readonly<{ busDays: number; webhookDays: number }>;

export const retentionSettings = (e: z.infer<z.ZodObject<typeof retentionVariables>>): RetentionSettings => ({
  busDays: e.BUS_RETENTION_DAYS,
  webhookDays: e.WEBHOOK_RETENTION_DAYS,
});
