import { z } from 'zod';

/** What the environment may say of Kafka: a part of the variables that `config.ts` reads. */
export const kafkaVariables = {
  /** `host:port` of brokers to ask first. With them events go by Kafka, without them by the log in `db_event_bus`. */
  KAFKA_BROKERS: z
    .string()
    .regex(/^[^\s,]+:\d+(,[^\s,]+:\d+)*$/, 'must be host:port, several with commas between')
    .transform((text) => text.split(','))
    .optional(),
  KAFKA_TLS: z.stringbool().default(false),
  /** With a name and a password the brokers are asked to believe us by this mechanism. */
  KAFKA_SASL_MECHANISM: z.enum(['PLAIN', 'SCRAM-SHA-256', 'SCRAM-SHA-512']).default('SCRAM-SHA-512'),
  KAFKA_USERNAME: z.string().min(1).default(''),
  KAFKA_PASSWORD: z.string().min(1).default(''),
  /** Before the name of every topic and group, for a cluster that others use too. */
  KAFKA_PREFIX: z.string().default(''),
  /** Of topics that are made because they are missing. */
  KAFKA_PARTITIONS: z.coerce.number().int().min(1).optional(),
  KAFKA_REPLICAS: z.coerce.number().int().min(1).optional(),
} as const;

type KafkaVariables = z.infer<z.ZodObject<typeof kafkaVariables>>;

/** Where Kafka is, who we are to it, and how topics are made there that are missing. */
export type KafkaSettings = Readonly<{
  brokers: readonly string[];
  tls: boolean;
  sasl: Readonly<{ mechanism: KafkaVariables['KAFKA_SASL_MECHANISM']; username: string; password: string }> | undefined;
  prefix: string;
  partitions: number | undefined;
  replicas: number | undefined;
}>;

/** @returns undefined where no Kafka is configured */
export function kafkaSettings(e: KafkaVariables): KafkaSettings | undefined {
  if (e.KAFKA_BROKERS === undefined) return undefined;
  const sasl = { mechanism: e.KAFKA_SASL_MECHANISM, username: e.KAFKA_USERNAME, password: e.KAFKA_PASSWORD };
  return {
    brokers: e.KAFKA_BROKERS,
    tls: e.KAFKA_TLS,
    sasl: sasl.username === '' ? undefined : sasl,
    prefix: e.KAFKA_PREFIX,
    partitions: e.KAFKA_PARTITIONS,
    replicas: e.KAFKA_REPLICAS,
  };
}

/** A name without a password, or the other way round, is a mistake that a broker would only call "not authorised". */
export const credentialsAreWhole = (e: KafkaVariables): boolean =>
  (e.KAFKA_USERNAME === '') === (e.KAFKA_PASSWORD === '');
