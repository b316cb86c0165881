import assert from 'node:assert/strict';

import { AuditRuns, type Looked, type StillRunning, type Verdict } from '../../api/audit-run.ts';

const LOOKED: Looked = {
  audited: { invariants: [], findings: [], inProgress: [], unknown: [], overfull: [], notes: [] },
  leftOut: new Map(),
};
const isOver = (answer: Verdict | StillRunning): answer is Verdict => 'audited' in answer;

/** Audits that end when the test says so. */
function scripted(untoldMs?: number) {
  const ends: End[] = [];
  const runs = new AuditRuns(
    () =>
      new Promise<Looked>((resolve, reject) => {
        ends.push({ finish: () => resolve(LOOKED), fail: (error) => reject(error) });
      }),
    untoldMs,
  );
  return { runs, ends, begun: () => ends.length };
}
type End = Readonly<{ finish: () => void; fail: (error: Error) => void }>;

const FOR_EVER = { maxAgeMs: 0, patienceMs: 60_000 };
const IN_A_HURRY = { maxAgeMs: 0, patienceMs: 0 };

describe('audits of one process', () => {
  it('run one at a time: whoever asks meanwhile hears of the same one', async () => {
    const { runs, ends, begun } = scripted();
    const asked = [runs.ask(FOR_EVER), runs.ask(FOR_EVER)];
    assert.equal(begun(), 1);
    ends[0]?.finish();
    const [one, other] = await Promise.all(asked);
    assert.ok(one !== undefined && isOver(one));
    assert.equal(one, other);
  });

  it('go on without whoever cannot wait, and tell the next one who asks how it ended, whatever he wants', async () => {
    const { runs, ends, begun } = scripted();
    const answer = await runs.ask(IN_A_HURRY);
    assert.ok(!isOver(answer) && answer.last === undefined);
    ends[0]?.finish();
    await new Promise(setImmediate);
    const told = await runs.ask(IN_A_HURRY);
    assert.ok(isOver(told));
    assert.equal(begun(), 1, 'a new one was begun before the old one was told');
    const again = await runs.ask(IN_A_HURRY);
    assert.ok(!isOver(again) && again.last === told && begun() === 2);
  });

  it('that ended long ago unheard are told to nobody as new, neither a verdict nor a failure', async () => {
    for (const how of ['finish', 'fail'] as const) {
      const { runs, ends, begun } = scripted(0);
      await runs.ask(IN_A_HURRY);
      ends[0]?.[how](new Error('the database was away'));
      await new Promise(setImmediate);
      assert.ok(!isOver(await runs.ask(IN_A_HURRY)));
      assert.equal(begun(), 2);
    }
  });

  it('that fail are told to whoever waits, or to the next one, and are not taken for the last verdict', async () => {
    const { runs, ends, begun } = scripted();
    const waiting = runs.ask(FOR_EVER);
    ends[0]?.fail(new Error('the database is away'));
    await assert.rejects(waiting, /the database is away/);

    await runs.ask(IN_A_HURRY);
    ends[1]?.fail(new Error('still away'));
    await new Promise(setImmediate);
    await assert.rejects(runs.ask({ ...IN_A_HURRY, maxAgeMs: 3_600_000 }), /still away/);

    const next = runs.ask({ ...FOR_EVER, maxAgeMs: 3_600_000 });
    assert.equal(begun(), 3);
    ends[2]?.finish();
    assert.ok(isOver(await next));
  });

  it('are not begun while the last verdict is young enough', async () => {
    const { runs, ends, begun } = scripted();
    const first = runs.ask(FOR_EVER);
    ends[0]?.finish();
    assert.equal(await runs.ask({ ...FOR_EVER, maxAgeMs: 3_600_000 }), await first);
    assert.equal(begun(), 1);
  });
});
