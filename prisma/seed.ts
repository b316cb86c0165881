import { appendToOutbox } from '../events/outbox.ts';
import { makePersonalKeys, personalKeysOf } from '../events/personal-keys.ts';
import { openPlatform, type SqlTransaction } from '../infra/databases.ts';
import { products, stock, users } from './seed/catalogue.ts';
import { productEvents, stockEvents, userEvents } from './seed/events.ts';
import {
  insertCategories,
  insertLedger,
  insertProducts,
  insertSnapshots,
  insertUsers,
  insertVariants,
  movePastSeededIds,
} from './seed/tables.ts';
import { CATEGORIES } from './seed/words.ts';

/**
 * Fills an empty platform with the development catalogue: categories, products with variants and prices, stock at two
 * locations, users, and an outbox event for each. The same everywhere, but for the instants, which are the database's.
 * All or nothing, in one transaction; a platform that holds anything is left alone, also when two seed at once.
 *
 * @param url of the platform's service role
 */
export async function seedPlatform(
  url: string,
  report: (line: string) => void = () => undefined,
): Promise<{ seeded: boolean }> {
  const platform = openPlatform(url, { poolSize: 1 });
  try {
    return await platform.$transaction(async (tx) => {
      await tx.$queryRaw`select pg_advisory_xact_lock(hashtextextended('seed', 0))::text`;
      if (await isFilled(tx)) return { seeded: false };
      report(await seed(tx));
      return { seeded: true };
    });
  } finally {
    await platform.$disconnect();
  }
}

/** Whether a platform holds nothing yet, so that `seedPlatform` would fill it. @param url of its service role */
export async function isPlatformEmpty(url: string): Promise<boolean> {
  const platform = openPlatform(url, { poolSize: 1 });
  try {
    return !(await isFilled(platform));
  } finally {
    await platform.$disconnect();
  }
}

async function isFilled(tx: SqlTransaction): Promise<boolean> {
  const [row] = await tx.$queryRaw<{ filled: boolean }[]>`
    select exists (select from users) or exists (select from categories) or exists (select from outbox) as filled`;
  return row?.filled !== false;
}

async function seed(tx: SqlTransaction): Promise<string> {
  const people = users();
  const catalogue = products();
  const rows = stock(catalogue);
  const userIds = people.map(({ id }) => String(id));
  await insertUsers(tx, people);
  await makePersonalKeys(tx, userIds);
  await insertCategories(tx, CATEGORIES);
  await insertProducts(tx, catalogue);
  await insertVariants(tx, catalogue);
  await insertLedger(tx, rows);
  await insertSnapshots(tx, rows);
  await movePastSeededIds(tx);
  const told = userEvents(people, await personalKeysOf(tx, userIds));
  await appendToOutbox(tx, [...told, ...productEvents(catalogue), ...stockEvents(rows)]);
  return `${people.length} users, ${catalogue.length} products in ${CATEGORIES.length} categories, ${rows.length} rows of stock`;
}
