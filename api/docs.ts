import { createRequire } from 'node:module';
import { dirname } from 'node:path';

import type { RequestHandler, Response } from 'express';

import { CheckoutError } from '../domain/errors.ts';
import { OPERATIONS } from './contract/operations.ts';
import { DOCS_ASSETS, getDocsAsset, getOpenApi, showDocs } from './contract/system.ts';
import { DOCS_PAGE, INITIALIZER } from './docs-page.ts';
import { sendTagged, weakTagOf } from './etag.ts';
import { openApiDocument } from './open-api.ts';
import type { Json } from './open-api-schemas.ts';
import { type Route, route } from './routes.ts';

const ASSETS = dirname(createRequire(import.meta.url).resolve('swagger-ui-dist/package.json'));
const ASSET_AGE_MS = 3_600_000;

/**
 * Stricter than that of the other answers: a page of ours has no other source of anything than this process. It does not
 * ask for HTTPS, because whoever tries the API out on a machine of their own has none.
 */
const PAGE_POLICY = [
  "default-src 'none'",
  "script-src 'self'",
  "style-src 'self' 'unsafe-inline'", // what Swagger UI draws with
  "img-src 'self' data:",
  "connect-src 'self'",
  "base-uri 'none'",
  "form-action 'none'",
  "frame-ancestors 'none'",
].join('; ');

/** The document of this API, and Swagger UI to read it and to try the API out, with nothing from elsewhere. */
export function docsRoutes(): readonly Route[] {
  const read = once(() => {
    const document = openApiDocument(OPERATIONS);
    return { document, etag: weakTagOf(document) };
  });
  return [
    route(getOpenApi, (req, res) => {
      const { document, etag } = read();
      res.set('Cache-Control', 'public, no-cache');
      sendTagged(req, res, etag, document);
    }),
    route(showDocs, pagePolicy, (_req, res) => {
      res.set('Cache-Control', 'public, no-cache').type('html').send(DOCS_PAGE);
    }),
    route(getDocsAsset, async (req, res) => {
      const asset = DOCS_ASSETS.find((name) => name === req.params['asset']);
      if (asset === undefined) throw new CheckoutError('NOT_FOUND', 'there is nothing here');
      if (asset === 'initializer.js') {
        res.set('Cache-Control', 'public, no-cache').type('js').send(INITIALIZER);
      } else await sendAsset(res, asset);
    }),
  ];
}

const pagePolicy: RequestHandler = (_req, res, next) => {
  res.set('Content-Security-Policy', PAGE_POLICY);
  next();
};

const sendAsset = (res: Response, asset: string): Promise<void> =>
  new Promise((resolve, reject) => {
    res.sendFile(asset, { root: ASSETS, maxAge: ASSET_AGE_MS, acceptRanges: false, etag: false }, (error?: Error) => {
      const isGone = error !== undefined && 'code' in error && error.code === 'ECONNABORTED'; // the reader, not the file
      if (error === undefined || isGone) resolve();
      else reject(error);
    });
  });

/** Made at the first request: a process that nobody asks for its document does not make one. */
function once(make: () => Readonly<{ document: Json; etag: string }>): typeof make {
  let made: ReturnType<typeof make> | undefined;
  return () => (made ??= make());
}
