/** `query` and `query_range`, GET and POST, and `format_query`: Prometheus' parameters and answers. */
import { type Context, Hono } from 'hono';
import { astToJson, parseExpr, prettyExpr } from '../../promql/index.ts';
import type { QueryRequest } from '../api.ts';
import type { AppOptions } from '../options.ts';
import { checkRange, invalid, parseDuration, parseLimit, parseTime } from '../parameters.ts';
import {
  type Parameters,
  readParameters,
  requestCancellation,
  requestReadTenant,
  success,
  successBytes,
} from './request.ts';

export function queryRoutes(options: AppOptions): Hono {
  const routes = new Hono();
  const methods = ['GET', 'POST'];
  routes.on(methods, '/query', (context) => serveInstant(options, context));
  routes.on(methods, '/query_range', (context) => serveRange(options, context));
  routes.on(methods, '/format_query', async (context) => {
    const parameters = await readParameters(context);
    return success(prettyExpr(parseExpr(required(parameters, 'query'))));
  });
  routes.on(methods, '/parse_query', async (context) => {
    const parameters = await readParameters(context);
    return success(astToJson(parseExpr(required(parameters, 'query'))));
  });
  return routes;
}

async function serveInstant(options: AppOptions, context: Context): Promise<Response> {
  const parameters = await readParameters(context);
  const text = parameters.one('time');
  const timeMs =
    text === undefined || text === ''
      ? options.clock.wallMs()
      : parseTime('time', text, options.parseDate);
  return serve(options, context, parameters, { startMs: timeMs, endMs: timeMs, stepMs: 0 });
}

async function serveRange(options: AppOptions, context: Context): Promise<Response> {
  const parameters = await readParameters(context);
  const startMs = parseTime('start', required(parameters, 'start'), options.parseDate);
  const endMs = parseTime('end', required(parameters, 'end'), options.parseDate);
  const stepMs = parseDuration('step', required(parameters, 'step'));
  checkRange(startMs, endMs, stepMs);
  return serve(options, context, parameters, { startMs, endMs, stepMs });
}

async function serve(
  options: AppOptions,
  context: Context,
  parameters: Parameters,
  times: { readonly startMs: number; readonly endMs: number; readonly stepMs: number },
): Promise<Response> {
  const { data, explain, warnings, infos } = await options.api.query({
    ...times,
    tenant: requestReadTenant(options, context),
    query: required(parameters, 'query'),
    lookbackMs: positiveDuration(parameters, 'lookback_delta'),
    timeoutMs: positiveDuration(parameters, 'timeout'),
    limit: parseLimit(parameters.one('limit')),
    maxSourceResolution: sourceResolutionOf(parameters),
    wants: wantsOf(parameters),
    cancellation: requestCancellation(context),
  });
  return successBytes(context, data, { explain, infos, warnings });
}

/** As Thanos names it; `0s` is its word for `raw`. */
function sourceResolutionOf(parameters: Parameters): QueryRequest['maxSourceResolution'] {
  const name = 'max_source_resolution';
  const text = parameters.one(name) ?? '';
  switch (text) {
    case '':
      return undefined;
    case '0':
    case '0s':
      return 'raw';
    case '1h':
    case '5m':
    case 'auto':
    case 'raw':
      return text;
    default:
      throw invalid(name, 'must be auto, raw, 5m or 1h');
  }
}

/** Any text asks for statistics, `all` for those of each step too. */
function wantsOf(parameters: Parameters): NonNullable<QueryRequest['wants']> {
  const stats = parameters.one('stats') ?? '';
  return {
    explain: parameters.one('explain') === '1' || parameters.one('explain') === 'true',
    stats: stats === '' ? undefined : stats === 'all' ? 'all' : 'totals',
  };
}

function positiveDuration(parameters: Parameters, name: string): number | undefined {
  const text = parameters.one(name);
  if (text === undefined || text === '') return undefined;
  const ms = parseDuration(name, text);
  if (ms <= 0) throw invalid(name, 'must be positive');
  return ms;
}

function required(parameters: Parameters, name: string): string {
  const text = parameters.one(name);
  if (text === undefined || text === '') throw invalid(name, 'is missing');
  return text;
}
