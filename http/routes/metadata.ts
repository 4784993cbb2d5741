/** `metadata`: what metrics are, as their senders said; what editors show beside a metric's name. */
import { Hono } from 'hono';
import type { AppOptions } from '../options.ts';
import { invalid } from '../parameters.ts';
import { readParameters, requestCancellation, requestReadTenant, successBytes } from './request.ts';

export function metadataRoutes(options: AppOptions): Hono {
  const routes = new Hono();
  routes.get('/metadata', async (context) => {
    const parameters = await readParameters(context);
    const metric = parameters.one('metric');
    const { data, warnings } = await options.api.metadata({
      tenant: requestReadTenant(options, context),
      metric: metric === '' ? undefined : metric,
      limit: parseCount('limit', parameters.one('limit')),
      limitPerMetric: parseCount('limit_per_metric', parameters.one('limit_per_metric')),
      cancellation: requestCancellation(context),
    });
    return successBytes(context, data, { warnings });
  });
  return routes;
}

/** A whole number; none given, or a negative one, is no limit. Here 0 is nothing at all, as in Prometheus. */
function parseCount(parameter: string, text: string | undefined): number {
  if (text === undefined || text === '') return -1;
  const count = Number(text);
  if (!/^[+-]?\d+$/.test(text) || !Number.isSafeInteger(count))
    throw invalid(parameter, `${parameter} must be a number`);
  return count;
}
