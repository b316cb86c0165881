import { DefaultFailureConverter } from '@temporalio/common';

/**
 * Puts messages and stacks of failures where the codec encrypts them: without it Temporal keeps them in clear. Both sides
 * of the sandbox load it by this name.
 */
export const failureConverter = new DefaultFailureConverter({ encodeCommonAttributes: true });
