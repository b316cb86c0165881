/** True for a database id as it travels in JSON: digits in a string, at least 1, within PostgreSQL's `bigint`. */
export const isDatabaseId = (text: string): boolean => /^[1-9]\d{0,18}$/.test(text) && BigInt(text) < 2n ** 63n;
