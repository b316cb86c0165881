import { randomBytes } from 'node:crypto';
import { join } from 'node:path';

import { keptSecret } from '../kept-secret.ts';

/** As long as the signature's hash, bytes. */
const SECRET_BYTES = 32;

/**
 * What the simulated gateway signs its webhooks with: `<dataDir>/webhooks/secret`, made at the first call and readable by
 * its owner alone. Repeat-safe: a webhook that waits for the next start is still genuine then.
 */
export const webhookSecret = (dataDir: string): Promise<string> =>
  keptSecret(join(dataDir, 'webhooks', 'secret'), () =>
    Promise.resolve(`whsec_${randomBytes(SECRET_BYTES).toString('base64')}`),
  );
