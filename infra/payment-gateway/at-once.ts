/**
 * Does `work` for each item, a bounded number at once, and answers in the order of the items. After a failure no more
 * is begun; what has begun ends by itself.
 */
export async function* eachAtOnce<T, R>(
  items: AsyncIterable<T> | Iterable<T>,
  most: number,
  work: (item: T) => Promise<R>,
): AsyncGenerator<R> {
  const begun: Promise<R>[] = [];
  for await (const item of items) {
    const one = work(item);
    one.catch(() => undefined); // it is thrown when its turn comes, or an earlier failure is told instead
    begun.push(one);
    const first = begun.length < most ? undefined : begun.shift();
    if (first !== undefined) yield await first;
  }
  for (const one of begun) yield await one;
}
