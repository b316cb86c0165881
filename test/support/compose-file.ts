import { readFileSync } from 'node:fs';

import { parse } from 'yaml';
import { z } from 'zod';

const healthcheck = z.object({ test: z.array(z.string()) });
const service = z.object({
  image: z.string(),
  build: z.string().optional(),
  /** None: it starts with a plain `up`. */
  profiles: z.array(z.string()).default([]),
  command: z.array(z.string()).default([]),
  environment: z.record(z.string(), z.coerce.string()).default({}),
  ports: z.array(z.string()).default([]),
  volumes: z.array(z.string()).default([]),
  stop_grace_period: z.string().optional(),
  healthcheck: healthcheck.optional(),
  depends_on: z.record(z.string(), z.object({ condition: z.string() })).default({}),
});
const composeFile = z.object({ services: z.record(z.string(), service), volumes: z.record(z.string(), z.null()) });

export type ComposeService = z.infer<typeof service>;

/** docker-compose.yml as written, with its anchors resolved, for the schema. */
export const composeDocument = (): unknown => parse(readFileSync('docker-compose.yml', 'utf8'), { merge: true });

/** The part of docker-compose.yml that our tests work with, with `${NAME:-default}` at its default. */
export const readCompose = () => composeFile.parse(interpolated(composeDocument()));

function interpolated(value: unknown): unknown {
  const text = JSON.stringify(value).replace(/\$\{\w+:-([^}]*)\}/g, '$1');
  return JSON.parse(text);
}
