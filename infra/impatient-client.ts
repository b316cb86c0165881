import { Client } from 'pg';

/** What node-postgres says when its `query_timeout` is over. */
const UNANSWERED = 'Query read timeout';

/**
 * A connection that ends itself when a query got no answer within `query_timeout`. node-postgres alone keeps it: a
 * transaction would give it back to the pool as if it were well, and the next query would wait behind the lost one.
 */
export class ImpatientClient extends Client {
  /** Answers whatever the overloads of `Client` promise; only its promises are looked at, callbacks are the pool's own. */
  override query(...args: unknown[]): never {
    const ask = super.query.bind(this) as (...args: unknown[]) => unknown;
    const answer = ask(...args);
    if (answer instanceof Promise) {
      answer.catch((error: unknown) => {
        // With a query in flight it is cut off, nothing is said to a server that does not listen.
        if (error instanceof Error && error.message === UNANSWERED) void this.end();
      });
    }
    return answer as never;
  }
}
