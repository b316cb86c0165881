import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';

/**
 * What the list of OWASP asks for and other tests prove: by row, the file and the title. A test that is renamed or removed
 * is missed here.
 */
const EVIDENCE: Readonly<Record<string, readonly (readonly [file: string, title: string])[]>> = {
  'API6 business flows: one customer cannot hold the stock': [
    ['test/activities/inventory-parallel.int.test.ts', 'keep the limit of open checkouts of one customer'],
    ['test/activities/inventory-parallel.int.test.ts', 'keep the limit of units that one customer holds of a product'],
    ['test/api/limits-declined.int.test.ts', 'are asked to wait for as long as it takes, and nobody else is'],
  ],
  'API8 configuration: no service reads the database of another': [
    ['test/infra/roles.int.test.ts', 'keeps the tables that were not granted from a service'],
  ],
  'API10 consumption: what the gateway answers is not believed': [
    ['test/gateway/hostile-answers.int.test.ts', 'a body over 64 KiB is cut, also when it never ends'],
    ['test/gateway/hostile-answers.int.test.ts', 'a body that trickles is cut by the time limit of the whole call'],
    ['test/gateway/hostile-answers.int.test.ts', 'a redirect is not followed'],
    [
      'test/api/webhooks.int.test.ts',
      'refuses whatever is not genuine with one and the same answer, and stores nothing',
    ],
    [
      'test/api/webhooks.int.test.ts',
      'answers the same event ten times in parallel, and later again, and stores it once',
    ],
  ],
};

describe('what the OWASP API Security Top 10 asks for and is proved elsewhere', () => {
  for (const [row, tests] of Object.entries(EVIDENCE)) {
    it(row, () => {
      for (const [file, title] of tests) {
        const text = readFileSync(file, 'utf8').replaceAll(/\s+/g, ' ');
        assert.ok(text.includes(`it('${title}'`), `${file} has no test "${title}"`);
      }
    });
  }
});
