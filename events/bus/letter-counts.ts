import type { Databases } from '../../infra/databases.ts';

/** How many dead letters each group has that nobody has given up. Groups without any are not there. */
export async function countLetters({ bus }: Pick<Databases, 'bus'>): Promise<ReadonlyMap<string, number>> {
  const rows = await bus.$queryRaw<{ group: string; letters: number }[]>`
    select group_name as "group", count(*)::int as letters
    from dead_letters
    where discarded_at is null
    group by group_name`;
  return new Map(rows.map(({ group, letters }) => [group, letters]));
}
