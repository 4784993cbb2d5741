/**
 * Deleting series: Prometheus' `admin/tsdb/delete_series` (204), and Cortex' list and cancellation of requests.
 *
 *   POST|PUT …/admin/tsdb/delete_series?match[]=…&start=&end=     taken: hidden from now on
 *   GET      …/admin/tsdb/delete_series                           what was asked for, newest first
 *   POST|PUT …/admin/tsdb/cancel_delete_request?request_id=…
 *   POST|PUT …/admin/tsdb/clean_tombstones                        204: nothing is left to be asked for
 *
 * Scripts written for Prometheus ask for `clean_tombstones` after a deletion. Here what was deleted is hidden already, and
 * compaction cuts it out by itself, once it cannot be cancelled any more and no sooner.
 */
import { type Context, Hono } from 'hono';
import { StarlingError } from '../../model/errors.ts';
import type { Matcher } from '../../model/matchers.ts';
import { parseSelector } from '../../promql/index.ts';
import type { DeletionRow } from '../api.ts';
import type { AppOptions } from '../options.ts';
import { invalid, parseTime } from '../parameters.ts';
import { readParameters, requestTenant } from './request.ts';

const PATH = '/admin/tsdb/delete_series';
const SELECTORS_MAX = 100;

export function deleteSeriesRoutes(options: AppOptions): Hono {
  const { api } = options;
  const routes = new Hono();
  const guard = (): void => {
    if (!api.deletions.isEnabled) throw new StarlingError('deletion.disabled', undefined);
  };
  routes.on(['POST', 'PUT'], PATH, async (context) => {
    guard();
    await serveDelete(options, context);
    return context.body(null, 204);
  });
  routes.get(PATH, (context) => {
    guard();
    const rows = api.deletions.list(requestTenant(options, context));
    return context.json(rows.map(shown));
  });
  routes.on(['POST', 'PUT'], '/admin/tsdb/cancel_delete_request', async (context) => {
    guard();
    const id = (await readParameters(context)).one('request_id');
    if (id === undefined || id === '') throw invalid('request_id', 'is missing');
    await api.deletions.cancel(requestTenant(options, context), id.slice(0, 100));
    return context.body(null, 204);
  });
  routes.on(['POST', 'PUT'], '/admin/tsdb/clean_tombstones', (context) => {
    guard();
    requestTenant(options, context); // refused as everywhere
    return context.body(null, 204);
  });
  return routes;
}

async function serveDelete(options: AppOptions, context: Context): Promise<void> {
  const parameters = await readParameters(context);
  const texts = parameters.many('match[]');
  if (texts.length === 0) throw invalid('match[]', 'no match[] parameter provided');
  if (texts.length > SELECTORS_MAX) {
    throw invalid('match[]', `was given ${texts.length} times, the limit is ${SELECTORS_MAX}`);
  }
  const time = (name: string, fallbackMs: number): number => {
    const text = parameters.one(name);
    if (text === undefined || text === '') return fallbackMs;
    return Math.trunc(parseTime(name, text, options.parseDate));
  };
  const range = {
    minTimeMs: time('start', Number.MIN_SAFE_INTEGER),
    maxTimeMs: time('end', Number.MAX_SAFE_INTEGER),
  };
  if (range.maxTimeMs < range.minTimeMs) {
    throw invalid('end', 'end timestamp must not be before start time');
  }
  const selectors = texts.map(parseSelector);
  await options.api.deletions.add(requestTenant(options, context), { selectors, range });
}

/** As Cortex lists them, times in seconds but the range in milliseconds. */
function shown({ cancelUntilMs, createdAtMs, id, range, selectors, state }: DeletionRow): object {
  return {
    request_id: id,
    start_time: range.minTimeMs,
    end_time: range.maxTimeMs,
    selectors: selectors.map(selectorText),
    status: state,
    created_at: createdAtMs / 1000,
    cancel_until: cancelUntilMs / 1000,
  };
}

function selectorText(matchers: readonly Matcher[]): string {
  const texts = matchers.map(({ name, type, value }) => {
    const shownName = /^[A-Za-z_][A-Za-z0-9_]*$/.test(name) ? name : JSON.stringify(name);
    return `${shownName}${type}${JSON.stringify(value)}`;
  });
  return `{${texts.join(',')}}`;
}
