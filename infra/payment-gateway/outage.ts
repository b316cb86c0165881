/**
 * Thrown for a call whose outcome is in doubt: a time-out, a broken connection, a 5xx, a key in use, an answer that
 * cannot be read. Never read it as "not charged". Its message holds neither a token nor anything personal.
 */
export class GatewayOutage extends Error {
  /** What the gateway asked us to wait, milliseconds; undefined when it said nothing. */
  readonly retryAfterMs: number | undefined;

  constructor(message: string, options: Readonly<{ retryAfterMs?: number | undefined; cause?: unknown }> = {}) {
    super(message, { cause: options.cause });
    this.name = 'GatewayOutage';
    this.retryAfterMs = options.retryAfterMs;
  }
}
