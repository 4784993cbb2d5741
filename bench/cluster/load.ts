/**
 * The load of the cluster benchmark: 100,000 series as a scraped fleet has them, one sample a series
 * every 15 s, 2,000 samples a request, each series always on the same connection and so in order.
 *
 *   50 metric names x 2,000 series: 24 counters, 16 gauges, 6 constants, 4 classic histograms of
 *   10 buckets; 20 namespaces, 10 jobs, 500 pods; 8 to 10 labels; neighbours share their pods
 *
 * Bodies are encoded before any clock starts: a request's protobuf is built once, each round patches
 * timestamps and values in place and compresses.
 */
import snappyjs from 'snappyjs';

export const SERIES_PER_REQUEST = 2000;
export const SCRAPE_INTERVAL_MS = 15_000;
export const METRICS = 50;

export interface LoadOptions {
  /** A multiple of 2,000. */
  readonly seriesCount: number;
  /** Gauges are multiples of 1 / this. */
  readonly gaugeParts?: number;
  /** So many metric names, of which the first are counters; 50 when not said. */
  readonly metrics?: number;
  readonly rounds: number;
  readonly startMs: number;
}

/** `bodies[round][request]`. */
export interface Load extends LoadOptions {
  readonly bodies: readonly (readonly Buffer[])[];
}

interface Template {
  readonly bytes: Buffer;
  /** Offset of each series' 8 value bytes; its 6 timestamp bytes follow after one tag. */
  readonly valueOffsets: readonly number[];
  readonly kinds: readonly Kind[];
}

type Kind = 'bucket' | 'constant' | 'counter' | 'gauge';

export function buildLoad(options: LoadOptions): Load {
  const writers = requestWriters(options);
  const bodies = Array.from({ length: options.rounds }, (_, round) =>
    writers.map(({ bytes, write }) => {
      write(round);
      return Buffer.from(snappyjs.compress(bytes));
    }),
  );
  return { ...options, bodies };
}

/** Value and time of a sample, and the tag between them. */
export const SAMPLE_BYTES = 15;

export interface RequestWriter {
  /** Its protobuf: what `write` changes. */
  readonly bytes: Buffer;
  /** Where `SAMPLE_BYTES` of it change from round to round. */
  readonly sampleOffsets: readonly number[];
  readonly write: (round: number) => void;
}

/** For each request of a round: makes its protobuf. */
export function requestWriters(
  options: Omit<LoadOptions, 'rounds'> & { readonly intervalMs?: number },
): readonly RequestWriter[] {
  const {
    gaugeParts = 1000,
    intervalMs = SCRAPE_INTERVAL_MS,
    metrics = METRICS,
    startMs,
  } = options;
  const requests = Math.ceil(options.seriesCount / SERIES_PER_REQUEST);
  return Array.from({ length: requests }, (_, request) => {
    const template = buildTemplate(request, metrics);
    return {
      bytes: template.bytes,
      sampleOffsets: template.valueOffsets,
      write: (round) => {
        patch(template, { request, round, timestampMs: startMs + round * intervalMs, gaugeParts });
      },
    };
  });
}

/** Request r holds 2,000 series, as many of each metric: of all 50, the series of ten pods. */
function buildTemplate(request: number, metrics: number): Template {
  const parts: Buffer[] = [];
  const valueOffsets: number[] = [];
  const kinds: Kind[] = [];
  let length = 0;
  for (let i = 0; i < SERIES_PER_REQUEST; i++) {
    const metric = i % metrics;
    const ordinal = request * (SERIES_PER_REQUEST / metrics) + Math.floor(i / metrics);
    const kind = kindOf(metric);
    kinds.push(kind);
    const labels = labelsOf(metric, kind, ordinal).map(([name, value]) =>
      field(0x0a, Buffer.concat([field(0x0a, Buffer.from(name)), field(0x12, Buffer.from(value))])),
    );
    const sample = Buffer.concat([
      Buffer.of(0x12, 16, 0x09),
      Buffer.alloc(8),
      Buffer.of(0x10),
      Buffer.alloc(6),
    ]);
    const series = Buffer.concat([...labels, sample]);
    const whole = field(0x0a, series);
    valueOffsets.push(length + whole.length - sample.length + 3);
    parts.push(whole);
    length += whole.length;
  }
  return { bytes: Buffer.concat(parts), valueOffsets, kinds };
}

function kindOf(metric: number): Kind {
  if (metric < 24) return 'counter';
  if (metric < 40) return 'gauge';
  return metric < 46 ? 'constant' : 'bucket';
}

/** Of 100,000 series ordinal 0..1999 of a metric; 500 pods of four containers, or 200 of ten buckets. */
function labelsOf(metric: number, kind: Kind, ordinal: number): (readonly [string, string])[] {
  const isBucket = kind === 'bucket';
  const pod = isBucket ? Math.floor(ordinal / 10) : Math.floor(ordinal / 4);
  const labels: (readonly [string, string])[] = [
    [
      '__name__',
      isBucket ? `bench_latency_${metric}_seconds_bucket` : `bench_${kind}_${metric}_total`,
    ],
    ['cluster', 'eu-west-1-prod'],
    ['container', `container-${isBucket ? 0 : ordinal % 4}`],
    ['instance', `10.12.${pod >> 5}.${pod % 250}:9090`],
    ['job', `integrations/kubernetes-${pod % 10}`],
  ];
  if (isBucket)
    labels.push(['le', ordinal % 10 === 9 ? '+Inf' : String(0.005 * 2 ** (ordinal % 10))]);
  labels.push(
    ['namespace', `namespace-${pod % 20}`],
    ['node', `ip-10-12-${pod >> 4}.internal`],
    ['pod', `deployment-${pod % 40}-6f8d9c7b5-${String(pod).padStart(5, '0')}`],
  );
  if (metric % 3 === 0) labels.push(['status', String(200 + (metric % 5))]);
  return labels;
}

function field(tag: number, bytes: Buffer): Buffer {
  const header =
    bytes.length < 128
      ? [tag, bytes.length]
      : [tag, (bytes.length & 0x7f) | 0x80, bytes.length >> 7];
  return Buffer.concat([Buffer.from(header), bytes]);
}

interface Patch {
  readonly request: number;
  readonly round: number;
  readonly timestampMs: number;
  readonly gaugeParts: number;
}

function patch(template: Template, { gaugeParts, request, round, timestampMs }: Patch): void {
  const { bytes, valueOffsets, kinds } = template;
  const stamp = Buffer.alloc(6);
  let rest = timestampMs;
  for (let i = 0; i < 6; i++) {
    stamp[i] = (rest % 128) | (i < 5 ? 0x80 : 0);
    rest = Math.floor(rest / 128);
  }
  for (let i = 0; i < valueOffsets.length; i++) {
    const at = valueOffsets[i]!;
    const value = valueOf(kinds[i]!, request * SERIES_PER_REQUEST + i, round);
    const isGauge = kinds[i] === 'gauge';
    bytes.writeDoubleLE(isGauge ? Math.round(value * gaugeParts) / gaugeParts : value, at);
    stamp.copy(bytes, at + 9);
  }
}

/** Reproducible values: counters grow unevenly, gauges wander, constants stay. */
function valueOf(kind: Kind, series: number, round: number): number {
  const noise = hash(series * 2654435761 + round * 40503) % 1000;
  switch (kind) {
    case 'bucket':
      return round * (1 + (Math.floor(series / METRICS) % 10)) * 3;
    case 'constant':
      return series % 64;
    case 'counter':
      return (series % 1000) * 100 + round * (10 + (series % 50)) + (noise % 10);
    case 'gauge':
      return 50 + 30 * Math.sin(round / 20 + series) + noise / 100;
  }
}

function hash(x: number): number {
  let h = x | 0;
  h = Math.imul(h ^ (h >>> 16), 0x45d9f3b);
  h = Math.imul(h ^ (h >>> 16), 0x45d9f3b);
  return (h ^ (h >>> 16)) >>> 0;
}
