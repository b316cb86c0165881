/**
 * Whether there is a time zone of this IANA name. PostgreSQL knows the same names, and so does Temporal, which alone takes
 * no capitals for small letters and the other way round.
 */
export function isTimeZone(name: string): boolean {
  const known = nameOf(name);
  if (known === undefined || /(^|\/)[a-z]/.test(name)) return false;
  // An older name of the zone has another one for its answer.
  return known === name || known.toLowerCase() !== name.toLowerCase();
}

function nameOf(name: string): string | undefined {
  try {
    return new Intl.DateTimeFormat('en', { timeZone: name }).resolvedOptions().timeZone;
  } catch {
    return undefined;
  }
}
