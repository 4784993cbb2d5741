/**
 * Demo data: a few hundred series that look like a small fleet, remote-written every five seconds to each
 * node in turn until it is stopped. Run by `npm run demo`.
 */
import protobuf from 'protobufjs';
import snappyjs from 'snappyjs';

const INTERVAL_MS = 5000;
const INSTANCES = 12;
const MODES = ['user', 'system', 'idle'] as const;
const BOUNDS = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1] as const;

const writeRequest = protobuf.Root.fromJSON({
  nested: {
    Label: { fields: { name: { type: 'string', id: 1 }, value: { type: 'string', id: 2 } } },
    Sample: { fields: { value: { type: 'double', id: 1 }, timestamp: { type: 'int64', id: 2 } } },
    TimeSeries: {
      fields: {
        labels: { rule: 'repeated', type: 'Label', id: 1 },
        samples: { rule: 'repeated', type: 'Sample', id: 2 },
      },
    },
    WriteRequest: { fields: { timeseries: { rule: 'repeated', type: 'TimeSeries', id: 1 } } },
  },
}).lookupType('WriteRequest');

interface Series {
  readonly labels: readonly { readonly name: string; readonly value: string }[];
  readonly samples: readonly { readonly value: number; readonly timestamp: number }[];
}

/** All series at one moment; counters are functions of time, so a restart continues them. */
function collect(nowMs: number): readonly Series[] {
  const seconds = nowMs / 1000;
  const all: Series[] = [];
  const add = (name: string, value: number, labels: Readonly<Record<string, string>>): void => {
    const pairs = Object.entries({ __name__: name, job: 'demo', ...labels });
    pairs.sort(([a], [b]) => (a < b ? -1 : 1));
    all.push({
      labels: pairs.map(([key, text]) => ({ name: key, value: text })),
      samples: [{ value, timestamp: nowMs }],
    });
  };
  for (let i = 0; i < INSTANCES; i++) {
    const instance = `demo-${i}:8080`;
    const wave = 1 + 0.5 * Math.sin(seconds / 300 + i);
    add('up', 1, { instance });
    add('demo_memory_usage_bytes', 1e9 + 2e8 * wave, { instance });
    MODES.forEach((mode, m) =>
      add('demo_cpu_usage_seconds_total', seconds * (m + 1) * 0.3 + 100 * wave, { instance, mode }),
    );
    const requests = seconds * (3 + i) - 900 * Math.cos(seconds / 300 + i);
    BOUNDS.forEach((bound, b) =>
      add('demo_request_duration_seconds_bucket', Math.floor(requests * (1 - 0.6 ** (b + 1))), {
        instance,
        le: String(bound),
      }),
    );
    add('demo_request_duration_seconds_bucket', Math.floor(requests), { instance, le: '+Inf' });
    add('demo_request_duration_seconds_count', Math.floor(requests), { instance });
    add('demo_request_duration_seconds_sum', requests * 0.04 * wave, { instance });
  }
  return all;
}

async function send(base: string, nowMs: number): Promise<void> {
  const body = snappyjs.compress(writeRequest.encode({ timeseries: collect(nowMs) }).finish());
  try {
    const response = await fetch(`${base}/api/v1/push`, {
      method: 'POST',
      body: Buffer.from(body),
      headers: { 'content-type': 'application/x-protobuf', 'content-encoding': 'snappy' },
    });
    if (!response.ok)
      process.stderr.write(
        `demo data: ${base} answered ${response.status}: ${await response.text()}\n`,
      );
  } catch (error) {
    process.stderr.write(`demo data: ${base}: ${String(error)}\n`);
  }
}

const bases = process.argv.slice(2);
let round = 0;
const tick = (): void => {
  const base = bases[round++ % bases.length];
  if (base !== undefined) void send(base, Date.now());
};
tick();
setInterval(tick, INTERVAL_MS);
