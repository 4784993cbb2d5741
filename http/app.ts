/**
 * The routes of a node except the push path: Prometheus' query API under two prefixes, and the pages
 * and endpoints that operators use.
 */
import { Hono } from 'hono';
import { StarlingError } from '../model/errors.ts';
import { errorResponse } from './error-response.ts';
import type { AppOptions } from './options.ts';
import { absentRoutes } from './routes/absent.ts';
import { adminRoutes } from './routes/admin.ts';
import { blockUploadRoutes } from './routes/block-upload.ts';
import { compactorRoutes } from './routes/compactor.ts';
import { deleteSeriesRoutes } from './routes/delete-series.ts';
import { exemplarRoutes } from './routes/exemplars.ts';
import { metadataRoutes } from './routes/metadata.ts';
import { queryRoutes } from './routes/query.ts';
import { remoteReadRoutes } from './routes/remote-read.ts';
import { seriesRoutes } from './routes/series.ts';
import { statusRoutes } from './routes/status.ts';

const QUERY_PREFIXES = ['/prometheus/api/v1', '/api/prom/api/v1'] as const;

export function createApp(options: AppOptions): Hono {
  const app = new Hono();
  for (const prefix of QUERY_PREFIXES) {
    app.route(prefix, queryRoutes(options));
    app.route(prefix, seriesRoutes(options));
    app.route(prefix, absentRoutes(options));
    app.route(prefix, exemplarRoutes(options));
    app.route(prefix, metadataRoutes(options));
    app.route(prefix, remoteReadRoutes(options));
    app.route(prefix, statusRoutes(options));
    app.route(prefix, deleteSeriesRoutes(options));
  }
  app.route('/api/v1', statusRoutes(options));
  app.route('/api/v1', deleteSeriesRoutes(options));
  app.route('/api/v1', blockUploadRoutes(options));
  app.route('/', adminRoutes(options));
  app.route('/', compactorRoutes(options));
  app.notFound((context) => {
    const { status, headers, body } = errorResponse(
      new StarlingError('request.not_found', { path: context.req.path }),
    );
    return new Response(body, { status, headers });
  });
  app.onError((error) => {
    const { status, headers, body } = errorResponse(error);
    return new Response(body, { status, headers });
  });
  return app;
}
