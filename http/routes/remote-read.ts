/** `POST /read`: remote read, a snappy body in, compressed samples or a stream of XOR chunks out. */
import { type Context, Hono } from 'hono';
import { StarlingError } from '../../model/errors.ts';
import { snappyDecode } from '../../model/wire/snappy.ts';
import type { AppOptions } from '../options.ts';
import { FORM_BYTES_MAX, readBody, requestCancellation, requestReadTenant } from './request.ts';
import { sendBytes } from './send-bytes.ts';

const REQUEST_BYTES_MAX = 16 * 1024 * 1024;

export function remoteReadRoutes(options: AppOptions): Hono {
  const routes = new Hono();
  routes.post('/read', (context) => serveRead(options, context));
  return routes;
}

async function serveRead(options: AppOptions, context: Context): Promise<Response> {
  const encoding = context.req.header('content-encoding') ?? 'snappy';
  if (encoding.toLowerCase() !== 'snappy') {
    throw new StarlingError('request.content_encoding', { encoding });
  }
  const tenant = requestReadTenant(options, context);
  const compressed = await readBody(context, FORM_BYTES_MAX);
  const body = snappyDecode(compressed, REQUEST_BYTES_MAX);
  const { data, kind } = await options.api.remoteRead({
    tenant,
    body,
    cancellation: requestCancellation(context),
  });
  const headers: Record<string, string> =
    kind === 'chunks'
      ? { 'content-type': 'application/x-streamed-protobuf; proto=prometheus.ChunkedReadResponse' }
      : { 'content-type': 'application/x-protobuf', 'content-encoding': 'snappy' };
  return sendBytes(context, headers, [data]);
}
