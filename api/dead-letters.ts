import { CheckoutError } from '../domain/errors.ts';
import { type Discarded, discardLetter } from '../events/bus/discard.ts';
import { listLetters, redriveLetter, type Redriven } from '../events/bus/redrive.ts';
import { callerOf } from './auth.ts';
import { discardBody, discardDeadLetter, lettersQuery, listDeadLetters, redriveDeadLetter } from './contract/admin.ts';
import { databaseId } from './contract/fields.ts';
import type { ApiDeps } from './deps.ts';
import { READ_LIMIT_MS, within } from './outage.ts';
import { parsed } from './requests.ts';
import { type Route, route } from './routes.ts';

/**
 * Events that a consumer could not handle, without their data; the wish that it tries them again; the decision to give one
 * up.
 */
export function deadLetterRoutes({ databases: { bus } }: ApiDeps): readonly Route[] {
  return [
    route(listDeadLetters, async (req, res) => {
      const { group, cursor, limit, discarded } = parsed(lettersQuery, req.query);
      const query = { group, after: cursor, limit: limit + 1, discarded: discarded === 'true' };
      const found = await within(READ_LIMIT_MS, listLetters({ bus }, query));
      const items = found.slice(0, limit);
      const next = found.length > limit ? (items.at(-1)?.id ?? null) : null;
      res.set('Cache-Control', 'no-store').json({ items, next });
    }),
    route(redriveDeadLetter, async (req, res) => {
      const id = letterIdOf(req.params['id']);
      const redriven = await within(READ_LIMIT_MS, redriveLetter({ bus }, id));
      if (redriven.result !== 'REDRIVEN') throw refusal(redriven);
      const { group, subject, letters } = redriven;
      res.status(202).json({ id, group, subject, letters });
    }),
    route(discardDeadLetter, async (req, res) => {
      const id = letterIdOf(req.params['id']);
      const { reason } = parsed(discardBody, req.body);
      const discarded = await within(READ_LIMIT_MS, discardLetter({ bus }, id, { by: callerOf(res).id, reason }));
      if (discarded.result !== 'DISCARDED') throw refusal(discarded);
      const { group, subject, redriven } = discarded;
      res.json({ id, group, subject, redriven });
    }),
  ];
}

function letterIdOf(param: unknown): string {
  const id = databaseId.safeParse(param);
  if (!id.success) throw new CheckoutError('NOT_FOUND', NO_LETTER);
  return id.data;
}

function refusal(refused: Exclude<Redriven | Discarded, { result: 'REDRIVEN' | 'DISCARDED' }>): CheckoutError {
  switch (refused.result) {
    case 'UNKNOWN':
      return new CheckoutError('NOT_FOUND', NO_LETTER);
    case 'ALREADY_REDRIVEN':
      return new CheckoutError('ALREADY_REDRIVEN', `a consumer of ${refused.group} has not come to it yet`);
    case 'ALREADY_DISCARDED':
      return new CheckoutError('ALREADY_DISCARDED', 'the event was given up, for good');
    case 'NOT_TRIED':
      return new CheckoutError(
        'NOT_TRIED',
        `it waits behind another letter of ${refused.subject}, and was never tried`,
      );
  }
}

const NO_LETTER = 'there is no such dead letter';
