/** HTTP status of each refusal the shop can give. A code, once released, is never renamed. */
const STATUS_OF = {
  ALREADY_DISCARDED: 409,
  ALREADY_REDRIVEN: 409,
  AMOUNT_OUT_OF_RANGE: 422,
  CHECKOUT_ABANDONED: 409,
  CHECKOUT_CANCELLED: 409,
  CHECKOUT_FAILED: 409,
  EMAIL_TAKEN: 409,
  FORBIDDEN: 403,
  HEADERS_TOO_LARGE: 431,
  HOLD_EXPIRED: 409,
  IDEMPOTENCY_KEY_MISSING: 400,
  IDEMPOTENCY_KEY_REUSED: 422,
  INTERNAL_ERROR: 500,
  INVALID_REQUEST: 422,
  MALFORMED_REQUEST: 400,
  METHOD_NOT_ALLOWED: 405,
  MIXED_CURRENCY: 422,
  NOT_CANCELLABLE: 409,
  NOT_FOUND: 404,
  NOT_TRIED: 409,
  NOTHING_PARKED: 409,
  ORDER_NOT_REFUNDABLE: 409,
  OUT_OF_STOCK: 409,
  PAYLOAD_TOO_LARGE: 413,
  PAYMENT_AMOUNT_MISMATCH: 409,
  PAYMENT_DECLINED: 402,
  PAYMENT_METHOD_INVALID: 422,
  PRICE_CHANGED: 409,
  PRODUCT_NOT_FOR_SALE: 422,
  REFUND_EXCEEDS_CAPTURE: 409,
  REFUND_QUANTITY_EXCEEDED: 409,
  REFUND_REFUSED: 409,
  REQUEST_TIMEOUT: 408,
  SKU_TAKEN: 409,
  SLUG_TAKEN: 409,
  START_DEADLINE_PASSED: 409,
  STOCK_BELOW_ZERO: 409,
  TEMPORARILY_UNAVAILABLE: 503,
  TOO_MANY_OPEN_CHECKOUTS: 429,
  TOO_MANY_REQUESTS: 429,
  UNAUTHENTICATED: 401,
  UNITS_LIMIT: 422,
  UNKNOWN_CATEGORY: 422,
  UNKNOWN_PRODUCT: 422,
  UNKNOWN_USER: 422,
  UNSUPPORTED_MEDIA_TYPE: 415,
  USERNAME_TAKEN: 409,
  VERSION_MISMATCH: 412,
  WEBHOOK_REJECTED: 401,
} as const;

export type ErrorCode = keyof typeof STATUS_OF;

/** Every code of the registry, for documents and tests. */
export const ERROR_CODES = Object.keys(STATUS_OF) as readonly ErrorCode[];

/** A recorded "no": plain data, because it is stored as an answer. */
export type Refusal = Readonly<{ code: ErrorCode; message: string; detail?: unknown }>;

/** The HTTP status that a refusal is answered with. */
export const httpStatusOf = (code: ErrorCode): number => STATUS_OF[code];

/** True for a code of the registry. Codes cross Temporal and JSON, error classes do not. */
export const isErrorCode = (value: unknown): value is ErrorCode =>
  typeof value === 'string' && Object.hasOwn(STATUS_OF, value);

/** True for a value with a code of the registry: a refusal read back from JSON. */
export const isRefusal = (value: unknown): value is Refusal =>
  typeof value === 'object' && value !== null && 'code' in value && isErrorCode(value.code);

/** Thrown when the shop says no. It is final: nobody retries it. */
export class CheckoutError extends Error {
  readonly code: ErrorCode;
  readonly detail: unknown;

  constructor(code: ErrorCode, message: string, detail?: unknown) {
    super(message);
    this.name = 'CheckoutError';
    this.code = code;
    this.detail = detail;
  }

  get httpStatus(): number {
    return httpStatusOf(this.code);
  }
}
