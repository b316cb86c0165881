import fc from 'fast-check';

import type { Operation } from '../../api/contract/operation.ts';
import { type Place, places, pointerOf, withAt } from './bodies.ts';
import type { Request } from './http.ts';
import { exampleOf, type Known } from './requests.ts';
import { pathOf, requestOf } from './world.ts';

/** What is wrong with a request, and the request. None of them may be granted by any reading of the contract. */
export type Malformed = Readonly<{ operation: Operation; fault: string; request: Request }>;

/** @param token of somebody who may do it */
type Asker = Readonly<{ known: Known; tokenOf: (operation: Operation) => string | null }>;

/** Malformed requests to all of these operations, drawn by fast-check: the same seed draws the same ones. */
export function malformedRequests(operations: readonly Operation[], asker: Asker): fc.Arbitrary<Malformed> {
  return fc.constantFrom(...operations).chain((operation) => {
    const request = requestOf(asker, operation, asker.tokenOf(operation));
    const all = [...wrongMethods(operation, request), ...wrongTokens(operation, request)];
    if (operation.params !== undefined) all.push(...wrongPaths(operation, request, asker.known));
    if (operation.query !== undefined) all.push(...wrongQueries(request));
    if (operation.headers?.includes('Idempotency-Key') === true) all.push(...wrongKeys(request));
    if (operation.body !== undefined) all.push(...wrongBodies(operation, request, asker.known));
    return fc.oneof(...all).map(([fault, wrong]) => ({ operation, fault, request: wrong }));
  });
}

type Wrong = fc.Arbitrary<readonly [string, Request]>;

const wrongMethods = ({ path }: Operation, request: Request): Wrong[] => [
  fc
    .constantFrom('PUT', 'DELETE', 'PROPFIND', 'SEARCH', 'LOCK')
    .map((method) => [`${method} ${path}`, { ...request, method }]),
];

const wrongTokens = ({ access }: Operation, request: Request): Wrong[] =>
  access === 'probe' || access === 'signature'
    ? []
    : [
        visible(1, 300).map((text) => {
          return ['a token of noise', { ...request, headers: { ...request.headers, authorization: `Bearer ${text}` } }];
        }),
      ];

/** What no id and no name of ours is, percent-encoded or broken. */
const SEGMENTS = [
  ...[
    '%00',
    '%',
    '%zz',
    '%ff',
    '%c0%af',
    '%ed%a0%80',
    '%2e%2e',
    '..%2f..%2fetc%2fpasswd',
    '%5c..%5c',
    '..;',
    '.',
    '-1',
  ],
  ...[
    '0',
    '1e3',
    '0x1',
    'null',
    'undefined',
    'NaN',
    '%20',
    '%0d%0aSet-Cookie:%20a=b',
    '%F0%9F%99%88',
    "'%20or%20'1'='1",
  ],
  ...[
    '9'.repeat(40),
    'x'.repeat(3_000),
    '%25'.repeat(200),
    '__proto__',
    'constructor',
    '{id}',
    '[object%20Object]',
    '*',
  ],
];

const wrongPaths = (operation: Operation, request: Request, known: Known): Wrong[] => {
  const { params = {} } = exampleOf(operation, known);
  const names = Object.keys(params);
  return [
    fc.tuple(fc.constantFrom(...names), fc.constantFrom(...SEGMENTS)).map(([name, segment]) => {
      const path = pathOf(operation, { ...params, [name]: 'HERE' }).replace('HERE', () => segment);
      return [`${name} = ${segment.slice(0, 40)}`, { ...request, path }];
    }),
  ];
};

const QUERIES = [
  ...['x=1', '__proto__=x', 'constructor[prototype]=x', 'a[b][c]=d', 'limit=1&limit=2&x=', '%00=%00', '%=1', '%ff=%fe'],
  ...['toString=1', `${'x'.repeat(2_000)}=1`, 'x[]=1', '&&&x', '%E0%A4%A=1', 'role=admin', `x=${'%25'.repeat(500)}`],
];

const wrongQueries = (request: Request): Wrong[] => [
  fc.constantFrom(...QUERIES).map((query) => {
    const path = `${request.path}${request.path.includes('?') ? '&' : '?'}${query}`;
    return [`?${query.slice(0, 40)}`, { ...request, path }];
  }),
];

const wrongKeys = (request: Request): Wrong[] => [
  fc
    .oneof(fc.constantFrom('', '"', '"a"b', '"a\\n"', '""', 'é'), fc.constant('x'.repeat(256)))
    .map((key) => [
      `the key ${key.slice(0, 20)}`,
      { ...request, headers: { ...request.headers, 'idempotency-key': key } },
    ]),
];

/** Values that fit no field of ours, of any type; numbers and texts are only put where such are expected. */
const NO_VALUES: readonly unknown[] = [{ never: true }, [[]], [null], { length: 1 }, [[[[]]]]];
const NO_NUMBERS: readonly unknown[] = [2 ** 53, -(2 ** 53), 1e308, 0.1, '1', true, -1e9, 5e-324];
const NO_TEXTS: readonly unknown[] = [
  '\u0000',
  '\ud800',
  '\udfff\ud800',
  'a\u0000b',
  '\u0007',
  0,
  false,
  'x'.repeat(60_000),
];

const wrongBodies = (operation: Operation, request: Request, known: Known): Wrong[] => {
  const { body = {}, free = [] } = exampleOf(operation, known);
  const strict = places(body).filter(([place]) => !free.some((pointer) => pointerOf(place).startsWith(pointer)));
  const of = (place: Place, value: unknown): readonly [string, Request] => [
    `${pointerOf(place)} = ${JSON.stringify(value)?.slice(0, 60)}`,
    { ...request, body: JSON.stringify(withAt(body, place, value)) },
  ];
  const text = JSON.stringify(body);
  const raw = (fault: string, broken: string | Buffer): readonly [string, Request] => [
    fault,
    { ...request, body: broken },
  ];
  const typed = strict.filter(([place, value]) => place.length > 0 && ['string', 'number'].includes(typeof value));
  return [
    fc.tuple(fc.constantFrom(...strict), fc.constantFrom(...NO_VALUES)).map(([[place], value]) => of(place, value)),
    ...(typed.length === 0
      ? []
      : [
          fc.tuple(fc.constantFrom(...typed), fc.nat(7)).map(([[place, value], n]) => {
            return of(place, (typeof value === 'number' ? NO_NUMBERS : NO_TEXTS)[n]);
          }),
        ]),
    fc.string({ minLength: 1, maxLength: 12, unit: 'binary' }).map((name) => of([`x${name}`], 1)),
    fc.constantFrom('__proto__', 'constructor', 'prototype').map((name) => of([name], { isAdmin: true })),
    // Cut off, with something behind it, with the same key twice, with numbers beyond all numbers.
    fc
      .nat(Math.max(1, text.length - 2))
      .map((length) => raw(`the first ${length + 1} characters`, text.slice(0, length + 1))),
    fc
      .constantFrom('x', ',', '}', ']', '\u0000', '{}', '\ufeff')
      .map((end) => raw(`${end} behind it`, `${text}${end}`)),
    fc.constant(raw('a key twice', text.replace('{', '{"a":1,"\\u0061":2,'))),
    fc.constantFrom('1e309', '-1e309', '01', '.5', 'NaN', 'Infinity', '0x10', '1_000').map((n) => raw(n, `{"x":${n}}`)),
    fc.uint8Array({ minLength: 1, maxLength: 200 }).map((bytes) => raw('noise', Buffer.from([0xff, ...bytes]))),
    fc.constantFrom(1, 10_000).map((bytes) => {
      return raw(
        `${bytes} bytes too long`,
        `${text}${' '.repeat((operation.largestBodyBytes ?? 65_536) + bytes - text.length)}`,
      );
    }),
    fc.constantFrom(10, 1_000, 20_000).map((depth) => raw(`${depth} deep`, `${'['.repeat(depth)}${']'.repeat(depth)}`)),
    fc.constantFrom('null', 'true', '0', '"x"', '', ' ').map((whole) => raw(`nothing but ${whole}`, whole)),
    fc
      .constantFrom(
        'text/plain',
        'application/xml',
        'application/x-www-form-urlencoded',
        'multipart/form-data; boundary=x',
      )
      .map((type) => [
        type,
        {
          ...request,
          headers: { ...request.headers, 'content-type': type },
          body: operation.access === 'signature' ? 'x' : text,
        },
      ]),
  ];
};

/** Characters that a header may have. */
const visible = (minLength: number, maxLength: number): fc.Arbitrary<string> =>
  fc.string({
    minLength,
    maxLength,
    unit: fc.integer({ min: 0x21, max: 0x7e }).map((code) => String.fromCharCode(code)),
  });
