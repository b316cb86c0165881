import assert from 'node:assert/strict';

import { WorkflowUpdateFailedError } from '@temporalio/client';
import { ApplicationFailure } from '@temporalio/common';

/** Asserts that an update is refused by the workflow with this code. */
export async function assertRefused(update: Promise<unknown>, code: string): Promise<void> {
  await assert.rejects(update, (error) => {
    assert.ok(error instanceof WorkflowUpdateFailedError, String(error));
    assert.ok(error.cause instanceof ApplicationFailure);
    assert.equal(error.cause.type, code);
    return true;
  });
}
