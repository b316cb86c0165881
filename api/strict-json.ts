import { CheckoutError } from '../domain/errors.ts';

const malformed = (reason: string): CheckoutError => new CheckoutError('MALFORMED_REQUEST', reason);

/** Strings, brackets, colons and commas of valid JSON; what lies between them is of no interest here. */
const TOKEN = /"(?:[^"\\]|\\.)*"|[{}[\]:,]/g;
/** Keys that change an object instead of filling it, in code less careful than ours. */
const DANGEROUS = new Set(['__proto__', 'constructor', 'prototype']);

/**
 * Reads a JSON object or array from UTF-8 bytes.
 *
 * @throws CheckoutError MALFORMED_REQUEST for anything else, and for a key given twice: two readers of the same body
 *   (a proxy that checks it, we who act on it) would then see two requests
 */
export function parseStrictJson(bytes: Uint8Array): unknown {
  let text: string;
  let value: unknown;
  try {
    text = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);
    value = JSON.parse(text);
  } catch {
    throw malformed('the body is not valid JSON in UTF-8');
  }
  if (typeof value !== 'object' || value === null) throw malformed('the body is not a JSON object');
  refuseBadKeys(text);
  return value;
}

function refuseBadKeys(text: string): void {
  const open: (Set<string> | undefined)[] = [];
  let lastString: string | undefined;
  for (const [token] of text.matchAll(TOKEN)) {
    if (token === '{') open.push(new Set());
    else if (token === '[') open.push(undefined);
    else if (token === '}' || token === ']') open.pop();
    else if (token === ':') refuseBadKey(open.at(-1), lastString);
    lastString = token.startsWith('"') ? token : undefined;
  }
}

function refuseBadKey(seen: Set<string> | undefined, quoted: string | undefined): void {
  if (seen === undefined || quoted === undefined) return;
  const key = JSON.parse(quoted) as string; // "a" and "\u0061" are the same key
  if (DANGEROUS.has(key)) throw malformed('the body has a key that is never allowed');
  if (seen.has(key)) throw malformed('the body has the same key twice');
  seen.add(key);
}
