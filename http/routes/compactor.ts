/**
 * The compactor for people and tools: what it does and plans (`/compactor`), and the deletion of a tenant with
 * Mimir's paths and answers.
 */
import { type Context, Hono } from 'hono';
import { html } from 'hono/html';
import type { NodeApi } from '../api.ts';
import type { AppOptions } from '../options.ts';
import { page, table } from '../pages/page.ts';
import { timeText } from '../time-text.ts';
import { requestTenant, wantsHtml } from './request.ts';

type Status = Awaited<ReturnType<NodeApi['compactor']>>;

export function compactorRoutes(options: AppOptions): Hono {
  const { api } = options;
  const routes = new Hono();
  routes.get('/compactor', async (context) => serveStatus(await api.compactor(), context));
  routes.post('/compactor/delete_tenant', async (context) => {
    await api.deleteTenant(requestTenant(options, context));
    return context.body(null, 200);
  });
  routes.get('/compactor/delete_tenant_status', async (context) => {
    const tenant = requestTenant(options, context);
    const deletion = await api.tenantDeletion(tenant);
    const isDeleted = deletion?.finishedAtMs !== undefined;
    return context.json({ tenant_id: tenant, blocks_deleted: isDeleted });
  });
  return routes;
}

function serveStatus(status: Status, context: Context): Response {
  if (!wantsHtml(context)) return context.json(status);
  const { isRunning, job, lastSuccessAtMs, tenants } = status;
  const tenantColumns = [
    'tenant',
    'lookedAt',
    'blockCount',
    'markedCount',
    'noCompactCount',
    'partialCount',
    'jobCount',
    'heldCount',
    'failure',
  ] as const;
  const tenantRows = tenants.map((one) => ({
    ...one,
    lookedAt: timeText(one.lookedAtMs),
    jobCount: one.jobs.length,
    heldCount: one.held.length,
  }));
  const jobRows = tenants.flatMap(({ jobs, tenant }) =>
    jobs.map((one) => ({
      tenant,
      kind: one.kind,
      from: timeText(one.startMs),
      to: timeText(one.endMs),
      blocks: one.blocks.join(' '),
      owner: one.isOwn ? 'this node' : 'another node',
    })),
  );
  const badRows = tenants.flatMap(({ broken, tenant }) =>
    broken.map((one) => ({ tenant, ...one })),
  );
  const last = lastSuccessAtMs === undefined ? 'never' : timeText(lastSuccessAtMs);
  const now =
    job === undefined
      ? 'no job'
      : `${job.kind} ${job.key} of ${job.tenant}: ${job.phase}, ${job.seriesCount} series`;
  return context.html(
    page(
      'Compactor',
      html`<p>${isRunning ? 'Running' : 'Waiting'}; last complete run: ${last}; now: ${now}</p>
        <h2>Tenants</h2>
        ${table(tenantColumns, tenantRows)}
        <h2>Planned jobs</h2>
        ${table(['tenant', 'kind', 'from', 'to', 'blocks', 'owner'], jobRows)}
        <h2>Blocks that cannot be read</h2>
        ${table(['tenant', 'block', 'why'], badRows)}`,
    ),
  ) as Response;
}
