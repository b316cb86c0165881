import type { z } from 'zod';

/** A version of a type's data that is no longer written, and how its data become those of the next version. */
export type OlderVersion = Readonly<{
  data: z.ZodType;
  /** @throws ZodError when the data are not of this version */
  next: (data: unknown) => unknown;
}>;

/**
 * Declares an older version for `EVENT_TYPES[…].older`, which lists them from version 1 on.
 *
 * @param toNext makes the data of the next version; pure, because a rebuild must come to the same result every time. What
 *   an old event does not say gets a value that means "not known", never a guess
 */
export const olderVersion = <S extends z.ZodType>(data: S, toNext: (data: z.output<S>) => unknown): OlderVersion => ({
  data,
  next: (value) => toNext(data.parse(value)),
});

type Versions = Readonly<{ version: number; data: z.ZodType; older?: readonly OlderVersion[] }>;

/**
 * Data of any version as those of the newest, one step after the other.
 *
 * @throws ZodError when the data are not of the version that they claim, or a step makes what the next one refuses
 * @throws RangeError for a version that there is not
 */
export function upcast(
  { version: newest, data: schema, older = [] }: Versions,
  version: number,
  data: unknown,
): unknown {
  if (older.length !== newest - 1) throw new RangeError(`version ${newest} needs ${newest - 1} older ones`);
  if (!Number.isInteger(version) || version < 1 || version > newest)
    throw new RangeError(`there is no version ${version}`);
  return schema.parse(older.slice(version - 1).reduce((current, step) => step.next(current), data));
}
