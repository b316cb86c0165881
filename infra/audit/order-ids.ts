const ORDER_ID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;

/** Those that can be ids of our orders: what the gateway or a damaged row says may be anything. */
export const orderIdsAmong = (texts: readonly string[]): string[] => texts.filter((text) => ORDER_ID.test(text));
