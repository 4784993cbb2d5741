/**
 * `status/*`: what clients ask to learn the flavour, the settings and the size of a data source. Of a
 * process's inside only what is Starling's own is told: no paths, no variables.
 */
import { Hono } from 'hono';
import type { AppOptions } from '../options.ts';
import { timeText } from '../time-text.ts';
import { invalid, parseLimit } from '../parameters.ts';
import {
  readParameters,
  requestCancellation,
  requestReadTenant,
  success,
  successBytes,
} from './request.ts';

const TOP_DEFAULT = 10;
const TOP_MAX = 10_000;

export function statusRoutes(options: AppOptions): Hono {
  const { api, clock } = options;
  const startTime = timeText(clock.wallMs());
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
  routes.get('/status/config', () => success({ yaml: api.config() }));
  routes.get('/status/flags', () => success(api.flags()));
  routes.get('/status/runtimeinfo', () =>
    success({
      startTime,
      CWD: '',
      hostname: '',
      serverTime: timeText(clock.wallMs()),
      reloadConfigSuccess: true,
      lastConfigTime: startTime,
      corruptionCount: 0,
      goroutineCount: 0,
      GOMAXPROCS: 1,
      GOMEMLIMIT: 0,
      GOGC: '',
      GODEBUG: '',
      storageRetention: api.flags()['head.retention'] ?? '',
    }),
  );
  // The node answers requests only when its logs are replayed.
  routes.get('/status/walreplay', () => success({ min: 0, max: 0, current: 0 }));
  routes.get('/status/tsdb', async (context) => {
    const text = (await readParameters(context)).one('limit');
    const limit = text === undefined ? TOP_DEFAULT : parseLimit(text);
    if (limit < 1 || limit > TOP_MAX) throw invalid('limit', `must be between 1 and ${TOP_MAX}`);
    const { data } = await api.cardinality({
      tenant: requestReadTenant(options, context),
      selectors: [],
      range: { minTimeMs: Number.MIN_SAFE_INTEGER, maxTimeMs: Number.MAX_SAFE_INTEGER },
      limit,
      cancellation: requestCancellation(context),
    });
    return successBytes(context, data);
  });
  return routes;
}
