/**
 * What the query routes share: parameters from the URL and a form body together (the form wins for a
 * single-valued parameter given in both), the tenant, cancellation, and the success envelope.
 */
import type { Context } from 'hono';
import { StarlingError } from '../../model/errors.ts';
import type { TenantId } from '../../model/ids.ts';
import type { Cancellation } from '../api.ts';
import type { AppOptions } from '../options.ts';
import { readTenantOf, tenantOf } from '../tenant.ts';
import { nodeBindings } from './node-bindings.ts';
import { sendBytes } from './send-bytes.ts';

/** A form body over this is refused. */
export const FORM_BYTES_MAX = 4 * 1024 * 1024;

export interface Parameters {
  one(name: string): string | undefined;
  many(name: string): readonly string[];
}

/** Reads the parameters of a GET, or of a form that is sent with POST or PUT. Throws `request.body_too_large`. */
export async function readParameters(context: Context): Promise<Parameters> {
  const url = new URL(context.req.url).searchParams;
  let form = new URLSearchParams();
  if (context.req.method === 'POST' || context.req.method === 'PUT') {
    form = new URLSearchParams(await readForm(context));
  }
  return {
    one: (name) => form.get(name) ?? url.get(name) ?? undefined,
    many: (name) => [...url.getAll(name), ...form.getAll(name)],
  };
}

/** The text of a form body; a chunked one declares no length, so bytes are counted as they come. */
async function readForm(context: Context): Promise<string> {
  return (await readBody(context, FORM_BYTES_MAX)).toString();
}

/** A whole body. Throws `request.body_too_large`. */
export async function readBody(context: Context, bytesMax: number): Promise<Buffer> {
  const declared = Number(context.req.header('content-length') ?? 0);
  if (declared > bytesMax) throw tooLarge(declared, bytesMax);
  // No encoding is set, so that it comes in buffers; a body that is refused is answered, not cut.
  const body: AsyncIterable<Buffer> = nodeBindings(context).incoming.iterator({
    destroyOnReturn: false,
  });
  const parts: Buffer[] = [];
  let bytes = 0;
  for await (const part of body) {
    bytes += part.length;
    if (bytes > bytesMax) throw tooLarge(bytes, bytesMax);
    parts.push(part);
  }
  return Buffer.concat(parts, bytes);
}

function tooLarge(bytes: number, bytesMax: number): StarlingError {
  return new StarlingError('request.body_too_large', { bytes, bytesMax });
}

export function requestTenant(options: AppOptions, context: Context): TenantId {
  return tenantOf(options.multitenancy, context.req.header('x-scope-orgid'));
}

/** The tenant of a request that only reads, which may list one tenant several times. */
export function requestReadTenant(options: AppOptions, context: Context): TenantId {
  return readTenantOf(options.multitenancy, context.req.header('x-scope-orgid'));
}

/** Fires when the client hangs up. */
export function requestCancellation(context: Context): Cancellation {
  const { outgoing } = nodeBindings(context);
  return {
    get isCancelled() {
      return outgoing.destroyed && !outgoing.writableEnded;
    },
    onCancel: (callback) =>
      void outgoing.once('close', () => {
        if (!outgoing.writableEnded) callback();
      }),
  };
}

const encoder = new TextEncoder();

/** What stands beside `data`; `explain` is JSON already. */
interface Beside {
  readonly explain?: string | undefined;
  readonly infos?: readonly string[];
  readonly warnings?: readonly string[];
}

/** `{"status":"success","data":…}` around JSON that is already bytes. */
export function successBytes(
  context: Context,
  data: Uint8Array,
  { explain, infos = [], warnings = [] }: Beside = {},
): Response {
  let tail = explain === undefined ? '' : `,"explain":${explain}`;
  if (warnings.length > 0) tail += `,"warnings":${JSON.stringify(warnings)}`;
  if (infos.length > 0) tail += `,"infos":${JSON.stringify(infos)}`;
  const parts = [encoder.encode('{"status":"success","data":'), data, encoder.encode(`${tail}}`)];
  return sendBytes(context, { 'content-type': 'application/json' }, parts);
}

/** The same for what is small. */
export function success(data: unknown, warnings: readonly string[] = []): Response {
  const answer = { status: 'success', data, ...(warnings.length > 0 ? { warnings } : {}) };
  return Response.json(answer);
}

/** People's browsers ask for HTML first; everything else gets JSON. */
export function wantsHtml(context: Context): boolean {
  return context.req.header('accept')?.includes('text/html') ?? false;
}
