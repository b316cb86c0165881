import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';

type Run = { suite: string; files: string[] };
type Suites = {
  suiteOf: (file: string) => string | undefined;
  plan: (args: string[], files: string[]) => { runs: Run[]; options: string[]; filtered: boolean };
};

type Lanes = { roundsOf: (suite: string, files: string[], cores: number) => string[][][] };

const FILES = [
  'test/domain/money.test.ts',
  'test/infra/postgres.int.test.ts',
  'test/workflows/replay.test.ts',
  'test/e2e/shop.e2e.test.ts',
  'test/e2e/soak.long.test.ts',
];

describe('the plan of a test run', () => {
  let suites: Suites;

  before(async () => {
    // The scripts run before anything is installed, so they are plain JavaScript without types.
    const file: string = new URL('../../scripts/suites.mjs', import.meta.url).href;
    suites = (await import(file)) as Suites;
  });

  it('puts every test file into one suite by its name', () => {
    assert.deepEqual(FILES.map(suites.suiteOf), ['unit', 'int', 'replay', 'e2e', 'long']);
    assert.equal(suites.suiteOf('test/support/servers.ts'), undefined);
  });

  it('runs every suite but the long one when nothing is asked for', () => {
    const { runs, filtered } = suites.plan([], FILES);

    assert.deepEqual(
      runs.map(({ suite, files }) => [suite, files.length]),
      [
        ['unit', 1],
        ['int', 1],
        ['replay', 1],
        ['e2e', 1],
      ],
    );
    assert.equal(filtered, false);
  });

  it('keeps a suite that was asked for and has no file, so that its emptiness can be reported', () => {
    assert.deepEqual(suites.plan(['long'], []).runs, [{ suite: 'long', files: [] }]);
  });

  it('finds the suites of the files that are named, the long one too', () => {
    const { runs, filtered } = suites.plan(['--', './test/e2e/soak.long.test.ts'], FILES);

    assert.deepEqual(runs, [{ suite: 'long', files: ['test/e2e/soak.long.test.ts'] }]);
    assert.equal(filtered, true);
  });

  it("hands everything else to mocha, option's values too", () => {
    const { options, runs } = suites.plan(['unit', '--grep', 'rounds up'], FILES);

    assert.deepEqual(options, ['--grep', 'rounds up']);
    assert.deepEqual(runs, [{ suite: 'unit', files: ['test/domain/money.test.ts'] }]);
    assert.deepEqual(suites.plan(['--grep=up', '-b', '-g', 'money.test.ts'], FILES).options, [
      '--grep=up',
      '-b',
      '-g',
      'money.test.ts',
    ]);
  });

  it('refuses an option or a suite that there is not instead of running everything', () => {
    assert.throws(() => suites.plan(['--bogus'], FILES), /There is no option --bogus/);
    assert.throws(() => suites.plan(['unti'], FILES), /unti is neither a suite nor a test file/);
    assert.throws(() => suites.plan(['unit', '--grep'], FILES), /--grep needs a value/);
    assert.throws(() => suites.plan(['toString'], FILES), /toString is neither/);
  });

  it('refuses a file that does not exist instead of running nothing', () => {
    assert.throws(() => suites.plan(['test/domain/monye.test.ts'], FILES), /is not a test file/);
  });
});

describe('the rounds of a suite', () => {
  let roundsOf: Lanes['roundsOf'];

  before(async () => {
    const file: string = new URL('../../scripts/lanes.mjs', import.meta.url).href;
    ({ roundsOf } = (await import(file)) as Lanes);
  });

  it('have two lanes with every file, the second one from the back', () => {
    const lanes = [
      ['a', 'b', 'c'],
      ['c', 'b', 'a'],
    ];
    assert.deepEqual(roundsOf('int', ['a', 'b', 'c'], 8), [lanes]);
  });

  it('keep a file that loads the machine by itself for a round of its own', () => {
    const races = 'test/e2e/races.long.test.ts';
    assert.ok(existsSync(races), 'it is known by its name');
    assert.deepEqual(roundsOf('long', ['a', races, 'z'], 8), [
      [
        ['a', 'z'],
        ['z', 'a'],
      ],
      [[races]],
    ]);
    assert.deepEqual(roundsOf('long', [races], 8), [[[races]]]);
  });

  it('begin each lane with files that take minutes', () => {
    const [copies, race] = ['test/e2e/two-copies.long.test.ts', 'test/e2e/money-race.long.test.ts'];
    const [broker, lanes] = [
      'test/events/bus-kafka-broker.long.test.ts',
      'test/workflows/reconcile-lanes.long.test.ts',
    ];
    const slow = [copies, race, broker, lanes];
    assert.deepEqual(
      slow.filter((file) => !existsSync(file)),
      [],
      'they are known by their names',
    );
    const sorted = ['a', race, copies, 'b', broker, lanes, 'z'];
    const order = [copies, broker, 'a', 'b', 'z', lanes, race];
    assert.deepEqual(roundsOf('long', sorted, 8), [[order, order.toReversed()]]);
  });

  it('keep by themselves the long files that would be late beside others', () => {
    const busy = ['test/api/outages.long.test.ts', 'test/e2e/views-under-kills.long.test.ts'];
    assert.deepEqual(
      busy.filter((file) => !existsSync(file)),
      [],
      'they are known by their names',
    );
    assert.deepEqual(roundsOf('long', ['a', ...busy, 'z'], 8), [
      [
        ['a', 'z'],
        ['z', 'a'],
      ],
      [busy],
    ]);
  });

  it('have one lane where a second would have no file or no processor, or would disturb the first', () => {
    assert.deepEqual(roundsOf('int', ['a'], 8), [[['a']]]);
    assert.deepEqual(roundsOf('int', ['a', 'b'], 1), [[['a', 'b']]]);
    assert.deepEqual(roundsOf('replay', ['a', 'b'], 8), [[['a', 'b']]]);
  });
});
