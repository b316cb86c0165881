import type { Finding } from './finding.ts';
import { differing, type Facts, type ViewDifference, type ViewRule } from './views-rows.ts';

/** Of one value that a finding quotes, characters. */
const LONGEST_VALUE = 80;

/** A row that is wrong, with the columns that differ and what puts it right. */
export function findingOf(rule: ViewRule, { key, is, shouldBe }: ViewDifference): Finding {
  const source = rule.from === 'views' ? 'the rows that it sums' : `the database ${rule.from}`;
  const text = (facts: Facts | undefined): string => {
    if (facts === undefined) return 'not there';
    if (is === undefined || shouldBe === undefined) return 'there';
    return differing(is, shouldBe)
      .map((column) => quoted(rule, column, facts[column]))
      .join(', ');
  };
  return {
    ...{ invariant: 8, row: `${rule.table} ${key.join(' ')}`, orderId: null, is: text(is) },
    shouldBe: `${text(shouldBe)}, by ${source}: \`npm run views:rebuild -- ${rule.view}\``,
  };
}

function quoted({ personal = [] }: ViewRule, column: string, value: unknown): string {
  if (personal.includes(column)) return `${column} (not shown)`;
  const text = typeof value === 'string' ? value : JSON.stringify(value);
  return `${column} ${text.length > LONGEST_VALUE ? `${text.slice(0, LONGEST_VALUE)}…` : text}`;
}
