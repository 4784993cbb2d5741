/**
 * What Grafana and other clients ask of any Prometheus, and what a store that neither scrapes nor runs
 * rules has none of: each is answered in its shape, empty.
 */
import { Hono } from 'hono';
import type { AppOptions } from '../options.ts';
import { requestReadTenant, success } from './request.ts';

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
      requestReadTenant(options, context);
      return success(nothing);
    });
  }
  return routes;
}
