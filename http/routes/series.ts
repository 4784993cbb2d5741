/** `series`, `labels` and `label/NAME/values`: what label browsers ask. */
import { type Context, Hono } from 'hono';
import { parseSelector } from '../../promql/index.ts';
import type { SeriesRequest } from '../api.ts';
import type { AppOptions } from '../options.ts';
import { invalid, parseLimit, parseTime } from '../parameters.ts';
import { readParameters, requestCancellation, requestReadTenant, successBytes } from './request.ts';

/** One request may hold this many `match[]`. */
const SELECTORS_MAX = 100;

export function seriesRoutes(options: AppOptions): Hono {
  const routes = new Hono();
  const methods = ['GET', 'POST'];
  routes.on(methods, '/series', async (context) => {
    const request = await readSeriesRequest(options, context);
    if (request.selectors.length === 0) throw invalid('match[]', 'no match[] parameter provided');
    const { data, warnings } = await options.api.series(request);
    return successBytes(context, data, { warnings });
  });
  routes.on(methods, '/labels', async (context) => {
    const request = await readSeriesRequest(options, context);
    const { data, warnings } = await options.api.labelNames(request);
    return successBytes(context, data, { warnings });
  });
  routes.get('/label/:name/values', async (context) => {
    const request = await readSeriesRequest(options, context);
    const name = labelName(context.req.param('name'));
    const { data, warnings } = await options.api.labelValues(name, request);
    return successBytes(context, data, { warnings });
  });
  return routes;
}

async function readSeriesRequest(options: AppOptions, context: Context): Promise<SeriesRequest> {
  const parameters = await readParameters(context);
  const texts = parameters.many('match[]');
  if (texts.length > SELECTORS_MAX) {
    throw invalid('match[]', `was given ${texts.length} times, the limit is ${SELECTORS_MAX}`);
  }
  const time = (name: string, fallbackMs: number): number => {
    const text = parameters.one(name);
    return text === undefined || text === ''
      ? fallbackMs
      : parseTime(name, text, options.parseDate);
  };
  const range = {
    minTimeMs: time('start', Number.MIN_SAFE_INTEGER),
    maxTimeMs: time('end', Number.MAX_SAFE_INTEGER),
  };
  if (range.maxTimeMs < range.minTimeMs) {
    throw invalid('end', 'end timestamp must not be before start time');
  }
  return {
    tenant: requestReadTenant(options, context),
    selectors: texts.map(parseSelector),
    range,
    limit: parseLimit(parameters.one('limit')),
    cancellation: requestCancellation(context),
  };
}

/** `U__` names spell UTF-8 label names with `_HEX_` escapes and doubled underscores. */
function labelName(escaped: string): string {
  if (!escaped.startsWith('U__')) return escaped;
  return escaped.slice(3).replace(/__|_([0-9A-Fa-f]{1,6})_/g, (whole, hex: string | undefined) => {
    if (hex === undefined) return '_';
    const point = parseInt(hex, 16);
    return point <= 0x10ffff ? String.fromCodePoint(point) : whole;
  });
}
