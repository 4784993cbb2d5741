/**
 * What Grafana and other clients ask of any Prometheus, and what a store that neither scrapes nor runs
 * rules has none of: each is answered in its shape, empty. Parameters are checked all the same.
 */
import { type Context, Hono } from 'hono';
import { parseExpr } from '../../promql/index.ts';
import type { AppOptions } from '../options.ts';
import { invalid, parseTime } from '../parameters.ts';
import { readParameters, requestTenant, success } from './request.ts';

const NOTHING: Readonly<Record<string, unknown>> = {
  '/alerts': { alerts: [] },
  '/alertmanagers': { activeAlertmanagers: [], droppedAlertmanagers: [] },
  '/features': {},
  '/notifications': [],
  '/rules': { groups: [] },
  '/scrape_pools': { scrapePools: [] },
  '/targets': { activeTargets: [], droppedTargets: [], droppedTargetCounts: {} },
  '/targets/metadata': [],
};

export function absentRoutes(options: AppOptions): Hono {
  const routes = new Hono();
  for (const [path, nothing] of Object.entries(NOTHING)) {
    routes.get(path, (context) => {
      requestTenant(options, context);
      return success(nothing);
    });
  }
  routes.on(['GET', 'POST'], '/query_exemplars', (context) => serveExemplars(options, context));
  return routes;
}

/** Exemplars are not stored: no query has any. */
async function serveExemplars(options: AppOptions, context: Context): Promise<Response> {
  const parameters = await readParameters(context);
  requestTenant(options, context);
  const time = (name: string, fallbackMs: number): number => {
    const text = parameters.one(name);
    if (text === undefined || text === '') return fallbackMs;
    return parseTime(name, text, options.parseDate);
  };
  const startMs = time('start', Number.MIN_SAFE_INTEGER);
  const endMs = time('end', Number.MAX_SAFE_INTEGER);
  if (endMs < startMs) throw invalid('end', 'end timestamp must not be before start time');
  parseExpr(parameters.one('query') ?? '');
  return success([]);
}
