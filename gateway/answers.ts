/** What a call is answered with. */
export type Answer = Readonly<{ status: number; body: unknown }>;

/**
 * How a call ends. `answer` is what was decided (and stored, for a keyed call); a connection that hangs or is cut
 * never delivers it.
 */
export type Outcome =
  | Readonly<{ connection: 'answer'; answer: Answer }>
  | Readonly<{ connection: 'hang' | 'cut'; answer: Answer | undefined }>;

const STATUS_OF = {
  invalid_request: 400,
  idempotency_key_missing: 400,
  invalid_payment_method: 400,
  cross_site: 403,
  not_found: 404,
  unknown_charge: 404,
  key_in_use: 409,
  not_awaiting_payment: 409,
  not_captured: 409,
  payload_too_large: 413,
  unsupported_media_type: 415,
  cancel_refused: 422,
  currency_mismatch: 422,
  idempotency_key_reused: 422,
  refund_exceeds_capture: 422,
  refund_refused: 422,
  rate_limited: 429,
  server_error: 500,
  bad_gateway: 502,
  unavailable: 503,
} as const;

export type GatewayCode = keyof typeof STATUS_OF;

/** Thrown for a call that has no effect: nothing of it is stored, so a repeat is decided anew. */
export class GatewayError extends Error {
  readonly code: GatewayCode;

  constructor(code: GatewayCode, message: string) {
    super(message);
    this.name = 'GatewayError';
    this.code = code;
  }
}

/** The answer that tells a caller no. */
export const errorAnswer = (code: GatewayCode, message: string): Answer => ({
  status: STATUS_OF[code],
  body: { code, message },
});
