/** More files than these fail for a reason that a second look would only confirm. */
const MOST_FILES = 4;

/**
 * Runs the files once more in which a test failed, alone on the machine. What passes then is no failure, and is told by
 * name with what it said at first: such a test is a defect, of the test or of what it tests, that somebody must look at.
 *
 * @param first the result of a suite
 * @param run runs files, and resolves to their result
 * @returns the result with the second outcome of those files, and `doubtful`, the failures that did not come again
 */
export async function withSecondLook(first, run) {
  const files = [...new Set(first.failures.map(({ file }) => file))];
  const cannot = first.interrupted || first.problems.length > 0 || files.includes(null) || files.length > MOST_FILES;
  if (cannot || files.length === 0) return { ...first, doubtful: [] };

  console.log(`\nA second look at ${files.join(', ')}:`);
  const second = await run(files);
  const again = new Set(second.failures.map(keyOf));
  const passedBefore = files.reduce((sum, file) => sum + (first.passedIn[file] ?? 0), 0);
  return {
    ...first,
    passed: first.passed - passedBefore + second.passed,
    failed: second.failed,
    failures: second.failures,
    skipped: [
      ...first.skipped,
      ...second.skipped.filter(({ title }) => !first.skipped.some((one) => one.title === title)),
    ],
    problems: second.problems,
    interrupted: second.interrupted,
    doubtful: first.failures.filter((failure) => !again.has(keyOf(failure))),
  };
}

const keyOf = ({ file, title }) => `${file}: ${title}`;

/** A failure as the end of a run tells it: a log may be cut, and then it is the end that is kept. */
export const toldFailure = (suite, { file, title, error }) =>
  `${suite}: ${file ?? 'outside of any file'}: ${title}\n${error.replaceAll(/^/gm, '    ')}`;
