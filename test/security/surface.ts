/** Of every answer. */
export const SECURITY_HEADERS = {
  'content-security-policy':
    "default-src 'self';base-uri 'self';font-src 'self' https: data:;form-action 'self';frame-ancestors 'self';img-src 'self' data:;object-src 'none';script-src 'self';script-src-attr 'none';style-src 'self' https: 'unsafe-inline';upgrade-insecure-requests",
  'cross-origin-opener-policy': 'same-origin',
  'cross-origin-resource-policy': 'same-origin',
  'referrer-policy': 'no-referrer',
  'strict-transport-security': 'max-age=31536000; includeSubDomains',
  'x-content-type-options': 'nosniff',
  'x-frame-options': 'SAMEORIGIN',
};

/** Of the page for reading the document, which loads nothing from elsewhere. */
export const PAGE_POLICY =
  "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/** What scanners try first, and what other parts of this system serve elsewhere. */
export const HIDDEN_PATHS = [
  ...[
    '/faults',
    '/v1/faults',
    '/ledger',
    '/charges',
    '/holds',
    '/metrics',
    '/v1/metrics',
    '/debug',
    '/debug/pprof/',
    '/inspect',
  ],
  ...['/json/version', '/.env', '/.git/config', '/package.json', '/node_modules/express/package.json', '/api/app.ts'],
  ...['/v0/orders', '/v2/orders', '/orders', '/products', '/v1', '/v1/', '/v1/admin', '/v1/users/1/role', '/v1/tokens'],
  ...['/v1/codec', '/admin', '/console', '/actuator', '/graphql', '/swagger', '/server-status', '/wp-login.php'],
];
