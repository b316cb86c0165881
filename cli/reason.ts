/** Why something failed, in words. A driver's error may have no message of its own, only those of the addresses it tried. */
export function reasonOf(error: unknown): string {
  if (error instanceof AggregateError) return error.errors.map(reasonOf).join('; ');
  return error instanceof Error ? error.message : String(error);
}

/** The same of a statement: what the database said, without the statement and the place in our code that Prisma adds. */
export function databaseReasonOf(error: unknown): string {
  const reason = reasonOf(error);
  return /Message: `([^`]*)`\s*$/.exec(reason)?.[1] ?? reason.trim();
}
