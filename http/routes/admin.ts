/** Pages and endpoints for operators: readiness, metrics, ring, members, services, configuration. */
import { type Context, Hono } from 'hono';
import { html, raw } from 'hono/html';
import type { RingRow } from '../api.ts';
import type { AppOptions } from '../options.ts';
import { page, table } from '../pages/page.ts';
import { timeText } from '../time-text.ts';
import { readParameters, wantsHtml } from './request.ts';

/** A time beyond stands for ever. */
const TIME_SHOWN_MS_MAX = 2 ** 46;

export function adminRoutes({ api }: AppOptions): Hono {
  const routes = new Hono();
  routes.get('/', (context) => context.html(page('Starling', index())));
  routes.get('/ready', (context) => {
    const reasons = api.notReady();
    return reasons.length === 0
      ? context.text('ready\n')
      : context.text(`not ready: ${reasons.join('; ')}\n`, 503);
  });
  routes.get('/metrics', async (context) =>
    context.body(await api.metrics(), 200, {
      'content-type': 'text/plain; version=0.0.4; charset=utf-8',
    }),
  );
  routes.get('/ring', (context) => serveRing(api.ring(), context));
  routes.post('/ring', async (context) => {
    const instance = (await readParameters(context)).one('forget');
    if (instance === undefined) return context.text('forget=<instance id> is missing\n', 400);
    await api.forget(instance);
    return context.redirect('/ring', 303);
  });
  routes.post('/ingester/flush', async (context) => {
    const flushed = api.flush();
    if ((await readParameters(context)).one('wait') === 'true') return context.json(await flushed);
    flushed.catch(() => undefined); // whoever waits is told; the log has it
    return context.body(null, 204);
  });
  routes.get('/memberlist', (context) => {
    const status = api.members();
    if (!wantsHtml(context)) return context.json(status);
    const columns = ['id', 'address', 'state', 'incarnation', 'bootCounter'] as const;
    const counters = Object.entries(status.counters).map(([name, count]) => ({ name, count }));
    return context.html(
      page(
        'Members',
        html`<p>${status.self}, health score ${status.healthScore}</p>
          ${table(columns, status.members)} ${table(['name', 'count'], counters)}`,
      ),
    );
  });
  routes.get('/services', (context) => {
    const services = api.services();
    if (!wantsHtml(context)) return context.json(services);
    return context.html(page('Services', table(['name', 'state'], services)));
  });
  routes.get('/config', (context) => context.text(api.config()));
  return routes;
}

function serveRing(status: ReturnType<AppOptions['api']['ring']>, context: Context): Response {
  if (!wantsHtml(context)) return context.json(status);
  const rows = status.instances.map((row) => ({
    ...row,
    ownership: `${(row.ownership * 100).toFixed(1)} %`,
    data: dataOf(row),
  }));
  const columns = [
    'id',
    'zone',
    'state',
    'liveness',
    'httpAddress',
    'grpcAddress',
    'gossipAddress',
    'bootCounter',
    'tokens',
    'ownership',
    'data',
  ] as const;
  const summary = html`<p>
      Effective replication factor ${status.replicationFactor} (configured
      ${status.configuredReplicationFactor}), registry ${status.digest}
    </p>
    ${table(columns, rows)}
    <form method="post">
      <label>Forget an instance: <input name="forget" required /></label> <button>Forget</button>
    </form>`;
  return context.html(page('Ring', summary)) as Response;
}

/** Whether an instance has all it once promised. */
function dataOf({ missingBeforeMs }: RingRow): string {
  if (missingBeforeMs === 0) return 'whole';
  if (missingBeforeMs > TIME_SHOWN_MS_MAX) return 'missing';
  return `incomplete before ${timeText(missingBeforeMs)}`;
}

function index(): ReturnType<typeof raw> {
  const links = [
    '/ready',
    '/metrics',
    '/ring',
    '/memberlist',
    '/compactor',
    '/services',
    '/config',
  ];
  return raw(`<ul>${links.map((link) => `<li><a href="${link}">${link}</a></li>`).join('')}</ul>`);
}
