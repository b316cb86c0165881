import assert from 'node:assert/strict';

import { ApplicationFailure } from '@temporalio/common';

export type Refused = Readonly<{ code: string; message: string; detail: unknown }>;

/** The recorded "no" that an activity ends with. Anything else, success or outage, fails the test. */
export async function refused(work: Promise<unknown>): Promise<Refused> {
  const error: unknown = await work.then(
    (answer) => assert.fail(`it was not refused but answered ${JSON.stringify(answer)}`),
    (reason: unknown) => reason,
  );
  if (!(error instanceof ApplicationFailure)) throw error;
  assert.equal(error.nonRetryable, true, 'a refusal is never retried');
  return { code: error.type ?? '', message: error.message, detail: error.details?.[0] };
}

/** Only the code of it. */
export const refusalCode = async (work: Promise<unknown>): Promise<string> => (await refused(work)).code;
