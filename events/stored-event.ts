/** An event as it is stored and sent: it is believed only after `readEvent` has checked it. */
export type StoredEvent = Readonly<{
  id: string;
  type: string;
  /** `platform`, `order` or `payment`. */
  source: string;
  aggregateType: string;
  aggregateId: string;
  aggregateVersion: number;
  /** The whole envelope, CloudEvents names, as JSON. */
  envelope: Readonly<Record<string, unknown>>;
}>;

/** Events of one subject are ordered; those of different subjects are not. */
export const subjectOf = ({ aggregateType, aggregateId }: StoredEvent): string => `${aggregateType}/${aggregateId}`;
