import { randomUUID } from 'node:crypto';

import { fileLetter } from '../../events/bus/dead-letters.ts';
import type { Databases } from '../../infra/databases.ts';

/** Files a dead letter about a user. @returns its id */
export async function deadLetter({ bus }: Pick<Databases, 'bus'>, aggregateId: string): Promise<string> {
  const id = randomUUID();
  const event = {
    ...{ id, type: 'UserUpdated', source: 'platform', aggregateType: 'user', aggregateId },
    ...{ aggregateVersion: 1, envelope: {} },
  };
  await fileLetter({ bus }, 'views', { place: `log:${id}`, event }, { reason: 'it failed', attempts: 3 });
  const { id: letterId } = await bus.deadLetter.findFirstOrThrow({ orderBy: { id: 'desc' } });
  return letterId.toString();
}
