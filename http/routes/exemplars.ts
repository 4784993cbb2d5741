/** `query_exemplars`: examples, such as traces, behind the series that an expression selects. */
import { type Context, Hono } from 'hono';
import type { AppOptions } from '../options.ts';
import { invalid, parseTime } from '../parameters.ts';
import { readParameters, requestCancellation, requestReadTenant, successBytes } from './request.ts';

export function exemplarRoutes(options: AppOptions): Hono {
  const routes = new Hono();
  routes.on(['GET', 'POST'], '/query_exemplars', (context) => serveExemplars(options, context));
  return routes;
}

async function serveExemplars(options: AppOptions, context: Context): Promise<Response> {
  const parameters = await readParameters(context);
  const time = (name: string, fallbackMs: number): number => {
    const text = parameters.one(name);
    if (text === undefined || text === '') return fallbackMs;
    return parseTime(name, text, options.parseDate);
  };
  const range = {
    minTimeMs: time('start', Number.MIN_SAFE_INTEGER),
    maxTimeMs: time('end', Number.MAX_SAFE_INTEGER),
  };
  if (range.maxTimeMs < range.minTimeMs)
    throw invalid('end', 'end timestamp must not be before start timestamp');
  const query = parameters.one('query') ?? '';
  const { data, warnings } = await options.api.exemplars({
    tenant: requestReadTenant(options, context),
    query,
    range,
    cancellation: requestCancellation(context),
  });
  if (data.length === 0) return new Response(null, { status: 204 }); // as Prometheus does
  return successBytes(context, data, { warnings });
}
