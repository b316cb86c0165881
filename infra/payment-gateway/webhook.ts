/** The allow-listed part of a provider's event. It says that something changed; what, the provider is asked. */
export type ProviderEvent = Readonly<{
  provider: string;
  eventId: string;
  type: string;
  /** The provider's id of the charge that it is about. */
  providerPaymentId: string;
  /** A few more facts for operators: never personal, never a card. */
  fields: Readonly<Record<string, string | number | null>>;
  /** SHA-256 of the raw body, hexadecimal. */
  bodyHash: string;
}>;

/** The headers of a request, names in lower case, as node:http gives them. */
export type Headers = Readonly<Record<string, string | readonly string[] | undefined>>;

/**
 * Verifies the signature over the raw bytes with each live secret, and the time stamp (five minutes either way).
 *
 * @returns null for a genuine event that is not about a charge of ours to follow, such as one of another kind
 * @throws WebhookRejected for anything that is not genuine or cannot be read
 */
export type ReadWebhook = (rawBody: Buffer, headers: Headers) => ProviderEvent | null;

/** Thrown for a webhook that is forged, altered, too old, or no event. Its message names no secret and no content. */
export class WebhookRejected extends Error {}
