// Goal: what anyone may send does not grow a node's metrics. Method: pushes of many tenants, then a scrape.
import t from 'tap';
import { NodeMetrics } from '../../cli/node-metrics.ts';
import { StarlingError } from '../../model/errors.ts';
import { parseTenantId } from '../../model/ids.ts';

t.test('NodeMetrics.onPush() gives a thousand tenants metrics of their own', async (t) => {
  const metrics = new NodeMetrics('test');
  const refused = new StarlingError('sample.refused', undefined);
  for (let i = 0; i < 3000; i++) {
    metrics.onPush(parseTenantId(`t${i}`), { samplesStored: 1, refused });
  }
  metrics.onPush(parseTenantId('t7'), { samplesStored: 5, refused: undefined });
  const lines = (await metrics.text()).split('\n');
  const received = lines.filter((line) =>
    line.startsWith('cortex_distributor_received_samples_total{'),
  );
  t.equal(received.length, 1001);
  t.ok(received.includes('cortex_distributor_received_samples_total{user="t7"} 6'));
  t.ok(received.includes('cortex_distributor_received_samples_total{user="<other>"} 2000'));
  t.equal(lines.filter((line) => line.startsWith('cortex_discarded_requests_total{')).length, 1001);
});
