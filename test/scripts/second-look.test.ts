import assert from 'node:assert/strict';

type Failure = { file: string | null; title: string; error: string };
type Result = {
  passed: number;
  failed: number;
  skipped: { title: string }[];
  failures: Failure[];
  passedIn: Record<string, number>;
  problems: string[];
  interrupted: boolean;
};
type SecondLook = {
  withSecondLook: (
    first: Result,
    run: (files: string[]) => Promise<Result>,
  ) => Promise<Result & { doubtful: Failure[] }>;
};

const failureOf = (file: string | null, title: string): Failure => ({ file, title, error: `Error: ${title}` });
const GOOD = { skipped: [], failures: [], problems: [], interrupted: false };
/** Ten tests passed; of `a` one failed beside three that passed, of `b` one and no other ran. */
const FIRST: Result = {
  ...GOOD,
  ...{ passed: 10, failed: 2, failures: [failureOf('a', 'is slow'), failureOf('b', 'is broken')] },
  passedIn: { a: 3, c: 7 },
};

describe('a second look at the files in which a test failed', () => {
  let looks: string[][];
  let withSecondLook: SecondLook['withSecondLook'];

  before(async () => {
    const file: string = new URL('../../scripts/second-look.mjs', import.meta.url).href;
    ({ withSecondLook } = (await import(file)) as SecondLook);
  });
  beforeEach(() => (looks = []));

  const answering = (second: Partial<Result>) => (files: string[]) => {
    looks.push(files);
    return Promise.resolve({ ...GOOD, passed: 0, failed: 0, passedIn: {}, ...second });
  };

  it('counts what they do then, and tells what failed only at first', async () => {
    const broken = failureOf('b', 'is broken');
    const result = await withSecondLook(FIRST, answering({ passed: 5, failed: 1, failures: [broken] }));

    assert.deepEqual(looks, [['a', 'b']]);
    assert.deepEqual([result.passed, result.failed], [12, 1]);
    assert.deepEqual(result.failures, [broken]);
    assert.deepEqual(result.doubtful, [failureOf('a', 'is slow')]);
  });

  it('takes a file that breaks down the second time for no better than one that failed', async () => {
    const problems = ['mocha ended with SIGKILL before its report'];
    const result = await withSecondLook(FIRST, answering({ problems }));

    assert.deepEqual([result.passed, result.problems], [7, problems]);
  });

  for (const [when, changes] of [
    ['nothing failed', { failures: [], failed: 0 }],
    ['many files failed', { failures: ['a', 'b', 'c', 'd', 'e'].map((file) => failureOf(file, 'fails')), failed: 5 }],
    ['a hook of the whole process failed', { failures: [failureOf(null, 'hook')], failed: 1 }],
    ['the process itself had a problem', { problems: ['it did not end'] }],
    ['it was interrupted', { interrupted: true }],
  ] as const satisfies [string, Partial<Result>][]) {
    it(`is not taken when ${when}`, async () => {
      const first: Result = { ...FIRST, ...changes };

      assert.deepEqual(await withSecondLook(first, answering({})), { ...first, doubtful: [] });
      assert.deepEqual(looks, []);
    });
  }
});
