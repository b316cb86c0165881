/** A place in a JSON value: the keys and indexes that lead to it. */
export type Place = readonly (string | number)[];

/** Every place of a JSON value with what is there, the value itself first. */
export function places(value: unknown, at: Place = []): readonly (readonly [Place, unknown])[] {
  const below = Array.isArray(value)
    ? value.flatMap((item, index) => places(item, [...at, index]))
    : typeof value === 'object' && value !== null
      ? Object.entries(value).flatMap(([key, field]) => places(field, [...at, key]))
      : [];
  return [[at, value], ...below];
}

/** The value with something else at a place. Keys such as `__proto__` become keys like any other. */
export function withAt(value: unknown, [step, ...rest]: Place, other: unknown): unknown {
  if (step === undefined) return other;
  if (Array.isArray(value))
    return value.map((item: unknown, index) => (index === step ? withAt(item, rest, other) : item));
  const fields = Object.entries(value as object).filter(([key]) => key !== step);
  const old = Object.hasOwn(value as object, step) ? (value as Record<string, unknown>)[step] : undefined;
  return Object.fromEntries([...fields, [step, withAt(old, rest, other)]]);
}

/** As a JSON Pointer writes it, without its escapes. */
export const pointerOf = (place: Place): string => place.map((step) => `/${step}`).join('');
