/** Uploads of blocks with Mimir's paths: `start` with meta.json, `files`, `finish`, then `check` until it is done. */
import { type Context, Hono } from 'hono';
import { StarlingError } from '../../model/errors.ts';
import type { AppOptions } from '../options.ts';
import { readBody, requestTenant } from './request.ts';

const META_BYTES_MAX = 1024 * 1024;

export function blockUploadRoutes(options: AppOptions): Hono {
  const { blockUploads } = options.api;
  const routes = new Hono();
  const at = (step: string) => `/upload/block/:block/${step}`;
  const block = (context: Context): string => context.req.param('block') ?? '';
  routes.post(at('start'), async (context) => {
    const tenant = requestTenant(options, context);
    await blockUploads.start(tenant, block(context), await readBody(context, META_BYTES_MAX));
    return context.body(null, 200);
  });
  routes.post(at('files'), async (context) => {
    const tenant = requestTenant(options, context);
    const path = context.req.query('path');
    if (path === undefined || path === '') {
      const facts = { parameter: 'path', why: 'name the file, as path=chunks/000001' };
      throw new StarlingError('request.parameter', facts);
    }
    const body = bodyOf(context);
    await blockUploads.putFile(tenant, block(context), { path, body });
    return context.body(null, 200);
  });
  routes.post(at('finish'), async (context) => {
    await blockUploads.finish(requestTenant(options, context), block(context));
    return context.body(null, 200);
  });
  routes.get(at('check'), async (context) =>
    context.json(await blockUploads.check(requestTenant(options, context), block(context))),
  );
  return routes;
}

async function* nothing(): AsyncGenerator<Uint8Array> {
  // A request without a body has no parts.
}

function bodyOf(context: Context): AsyncIterable<Uint8Array> {
  return (context.req.raw.body as AsyncIterable<Uint8Array> | null) ?? nothing(); // node's streams iterate
}
