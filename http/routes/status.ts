/** `status/buildinfo`: what Grafana asks to learn the flavour of a data source. */
import { Hono } from 'hono';
import type { AppOptions } from '../options.ts';
import { success } from './request.ts';

export function statusRoutes(options: AppOptions): Hono {
  const routes = new Hono();
  routes.get('/status/buildinfo', () =>
    success({
      application: 'Starling',
      version: options.version,
      revision: '',
      branch: '',
      buildUser: '',
      buildDate: '',
      goVersion: '',
    }),
  );
  return routes;
}
