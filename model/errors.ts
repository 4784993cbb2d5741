/**
 * The catalogue of operating errors. Every error a user can see has a stable id here, its HTTP and
 * gRPC status, whether a retry can help, and a sentence that says what, why and what to do.
 *
 * Ids never change and are never reused (test/golden/errors.txt pins them). Facts are typed per id.
 * `http/error-response.ts` and `proto/` are the only translators. An unknown error becomes
 * `internal`, its details only in the log.
 */
import { blockErrors } from './errors-blocks.ts';
import {
  type ErrorSpec,
  type GrpcStatus,
  type SeriesFacts,
  invalid,
  unavailable,
  unprocessable,
  unsupportedMedia,
} from './error-spec.ts';

export type { GrpcStatus } from './error-spec.ts';

/** Facts of an error about one object. */
interface BucketFacts {
  /** The bucket's URL, without credentials. */
  readonly bucket: string;
  readonly key: string;
}

/** Facts of an error about a text of metadata; `metric` is cut to a bound. */
interface MetadataFacts {
  readonly metric: string;
  readonly bytes: number;
  readonly bytesMax: number;
}

export const errorCatalogue = {
  // --- requests ---
  'request.body_too_large': {
    http: 413,
    grpc: 'RESOURCE_EXHAUSTED',
    retryable: false,
    message: (f: { readonly bytes: number; readonly bytesMax: number }) =>
      `the request body is ${f.bytes} bytes, the limit is ${f.bytesMax}: send smaller requests`,
  },
  'request.body_timeout': {
    http: 408,
    grpc: 'DEADLINE_EXCEEDED',
    retryable: false, // a sender that follows the remote-write contract drops what is answered 4xx
    message: (f: { readonly timeoutMs: number }) =>
      `the request body did not arrive within ${f.timeoutMs} ms`,
  },
  'request.content_encoding': {
    ...unsupportedMedia,
    message: (f: { readonly encoding: string }) =>
      `content-encoding '${f.encoding}' is not supported: use snappy (block format)`,
  },
  'request.content_type': {
    ...unsupportedMedia,
    message: (f: { readonly contentType: string }) =>
      `content-type '${f.contentType}' is not supported: use application/x-protobuf (prometheus.WriteRequest)`,
  },
  'request.parameter': {
    ...invalid,
    message: (f: { readonly parameter: string; readonly why: string }) =>
      `invalid parameter "${f.parameter}": ${f.why}`,
  },
  'request.too_many_samples': {
    http: 413,
    grpc: 'RESOURCE_EXHAUSTED',
    retryable: false,
    message: (f: { readonly what: string; readonly countMax: number }) =>
      `one request may hold at most ${f.countMax} ${f.what}: send smaller requests`,
  },
  'request.not_found': {
    http: 404,
    grpc: 'NOT_FOUND',
    retryable: false,
    message: (f: { readonly path: string }) => `there is nothing at ${f.path}`,
  },
  'request.canceled': {
    http: 499,
    grpc: 'CANCELLED',
    retryable: false,
    message: () => 'the client left before the answer was ready',
  },
  'request.deadline': {
    http: 503,
    grpc: 'DEADLINE_EXCEEDED',
    retryable: true,
    message: (f: { readonly what: string; readonly timeoutMs: number }) =>
      `${f.what} did not finish within ${f.timeoutMs} ms`,
  },
  // --- tenants and instances ---
  'tenant.missing': {
    http: 401,
    grpc: 'UNAUTHENTICATED',
    retryable: false,
    message: () => 'no org id: multi-tenancy is on, send the tenant in the header X-Scope-OrgID',
  },
  'tenant.invalid': {
    ...invalid,
    message: (f: { readonly tenant: string; readonly why: string }) =>
      `the tenant id ${JSON.stringify(f.tenant)} ${f.why}`,
  },
  'tenant.federation_off': {
    ...unprocessable,
    message: (f: { readonly count: number }) =>
      `the header X-Scope-OrgID lists ${f.count} tenants, and a query answers for one: ask for each by itself`,
  },
  'instance.invalid': {
    ...invalid,
    message: (f: { readonly instance: string }) =>
      `the instance id ${JSON.stringify(f.instance)} must be 1 to 63 letters, digits, '.', '_' or '-', starting and ending with a letter or digit`,
  },
  // --- write bodies ---
  'snappy.corrupt': {
    ...invalid,
    message: (f: { readonly why: string }) => `snappy: ${f.why}`,
  },
  'protobuf.corrupt': {
    ...invalid,
    message: (f: { readonly why: string; readonly offset: number }) =>
      `the body is not a valid prometheus.WriteRequest: ${f.why} at byte ${f.offset}`,
  },
  // --- series validation (the valid rest of the request is stored) ---
  'series.missing_metric_name': {
    ...invalid,
    message: (f: SeriesFacts) =>
      `missing-metric-name: the series ${f.series} has no __name__ label`,
  },
  'series.metric_name_invalid': {
    ...invalid,
    message: (f: SeriesFacts) =>
      `metric-name-invalid: the metric name of ${f.series} is not valid UTF-8`,
  },
  'series.duplicate_label': {
    ...invalid,
    message: (f: SeriesFacts & { readonly name: string }) =>
      `duplicate-label: the label name ${JSON.stringify(f.name)} appears twice in ${f.series}`,
  },
  'series.label_invalid': {
    ...invalid,
    message: (f: SeriesFacts & { readonly name: string; readonly why: string }) =>
      `label-invalid: the label ${JSON.stringify(f.name)} of ${f.series} ${f.why}`,
  },
  'series.label_name_too_long': {
    ...invalid,
    message: (
      f: SeriesFacts & { readonly name: string; readonly bytes: number; readonly bytesMax: number },
    ) =>
      `label-name-too-long: the label name ${JSON.stringify(f.name)} of ${f.series} is ${f.bytes} bytes, max_label_name_length is ${f.bytesMax}`,
  },
  'series.label_value_too_long': {
    ...invalid,
    message: (
      f: SeriesFacts & { readonly name: string; readonly bytes: number; readonly bytesMax: number },
    ) =>
      `label-value-too-long: the value of label ${JSON.stringify(f.name)} of ${f.series} is ${f.bytes} bytes, max_label_value_length is ${f.bytesMax}`,
  },
  'series.too_many_labels': {
    ...invalid,
    message: (f: SeriesFacts & { readonly count: number; readonly countMax: number }) =>
      `max-label-names-per-series: ${f.series} has ${f.count} labels, max_label_names_per_series is ${f.countMax}`,
  },
  'series.labels_too_large': {
    ...invalid,
    message: (f: SeriesFacts & { readonly bytes: number; readonly bytesMax: number }) =>
      `labels-size: the labels of ${f.series} are ${f.bytes} bytes, max_labels_size_bytes is ${f.bytesMax}`,
  },
  'series.fingerprint_collision': {
    ...invalid,
    message: (f: SeriesFacts) =>
      `fingerprint-collision: ${f.series} has the fingerprint of another series and cannot be stored; change one of its labels`,
  },
  'series.invalid_histogram': {
    ...invalid,
    message: (f: SeriesFacts & { readonly why: string }) =>
      `native-histogram: a histogram of ${f.series} was refused: ${f.why}; fix the sender`,
  },
  // --- metadata (what is not refused is kept) ---
  'metadata.missing_metric_name': {
    ...invalid,
    message: () => 'metadata-missing-metric-name: metadata names no metric: send its family name',
  },
  'metadata.metric_name_too_long': {
    ...invalid,
    message: (f: MetadataFacts) =>
      `metric-name-too-long: metadata names the metric ${JSON.stringify(f.metric)}, ${f.bytes} bytes, max_metadata_length is ${f.bytesMax}`,
  },
  'metadata.unit_too_long': {
    ...invalid,
    message: (f: MetadataFacts) =>
      `unit-too-long: the unit of the metric ${JSON.stringify(f.metric)} is ${f.bytes} bytes, max_metadata_length is ${f.bytesMax}`,
  },
  'metadata.invalid': {
    ...invalid,
    message: (f: { readonly metric: string; readonly what: string }) =>
      `metadata-invalid: the ${f.what} in metadata of the metric ${JSON.stringify(f.metric)} is not valid UTF-8`,
  },
  // --- samples ---
  'histogram.invalid': {
    ...invalid,
    message: (f: { readonly why: string }) => `invalid native histogram: ${f.why}`,
  },
  'sample.out_of_order': {
    ...invalid,
    message: (
      f: SeriesFacts & {
        readonly timestampMs: number;
        readonly lastMs: number;
        readonly windowMs: number;
      },
    ) =>
      `sample-out-of-order: the sample of ${f.series} at ${f.timestampMs} is older than the newest one stored, at ${f.lastMs}, and than the tenant's newest one less out_of_order_time_window (${f.windowMs} ms)`,
  },
  'sample.duplicate_timestamp': {
    ...invalid,
    message: (f: SeriesFacts & { readonly timestampMs: number }) =>
      `sample-duplicate-timestamp: ${f.series} already has another value at ${f.timestampMs}`,
  },
  'sample.too_old': {
    ...invalid,
    message: (f: SeriesFacts & { readonly timestampMs: number; readonly minTimeMs: number }) =>
      `sample-timestamp-too-old: the sample of ${f.series} at ${f.timestampMs} is before ${f.minTimeMs}, the oldest time that can be written; timestamps are milliseconds since 1970`,
  },
  'sample.too_far_in_future': {
    ...invalid,
    message: (f: SeriesFacts & { readonly timestampMs: number; readonly maxTimeMs: number }) =>
      `too-far-in-future: the sample of ${f.series} at ${f.timestampMs} is after ${f.maxTimeMs}, now plus creation_grace_period; timestamps are milliseconds since 1970`,
  },
  'sample.refused': {
    ...invalid,
    message: () =>
      'a quorum of instances refused samples for a reason that this one does not know: they may run a newer version',
  },
  // --- limits ---
  'limit.ingestion_rate': {
    http: 429,
    grpc: 'RESOURCE_EXHAUSTED',
    retryable: true,
    message: (f: {
      readonly samplesPerSecond: number;
      readonly burst: number;
      readonly samples: number;
    }) =>
      `tenant-max-ingestion-rate: ${f.samples} samples would exceed ingestion_rate ${f.samplesPerSecond}/s with ingestion_burst_size ${f.burst}: send slower or raise the limit`,
  },
  'limit.series_per_tenant': {
    ...invalid,
    message: (f: SeriesFacts & { readonly countMax: number }) =>
      `max-series-per-user: ${f.series} is new and the tenant has reached max_series_per_user ${f.countMax}; existing series keep being stored`,
  },
  // --- a node under load or trouble ---
  'limit.tenants_per_node': {
    ...unavailable,
    message: (f: { readonly countMax: number }) =>
      `ingester-max-tenants: this node has ${f.countMax} tenants open, which is its bound (ingester.instance_limits.max_tenants), and none is idle; retry later, add nodes or raise the bound`,
  },
  'node.overloaded': {
    ...unavailable,
    message: (f: { readonly what: string; readonly countMax: number }) =>
      `this node is overloaded: ${f.what} has reached its bound of ${f.countMax}; retry later`,
  },
  'node.no_address_space': {
    ...unavailable,
    message: (_: undefined) =>
      'this node could not reserve addresses for a WebAssembly memory (some 10 GiB each, of which little is used): raise its limit of address space (ulimit -v), or retry later',
  },
  'node.worker_ended': {
    http: 500,
    grpc: 'INTERNAL',
    retryable: false,
    message: (f: { readonly job: string }) =>
      `the worker that ran ${f.job} ended: it was out of memory or failed; details are in the log`,
  },
  'node.not_ready': {
    ...unavailable,
    message: (f: { readonly why: string }) => `this node is not ready: ${f.why}`,
  },
  'node.unimplemented': {
    http: 501,
    grpc: 'UNIMPLEMENTED',
    retryable: false,
    message: (f: { readonly what: string }) =>
      `this node does not know ${f.what}: it may run an older version`,
  },
  'node.unreachable': {
    ...unavailable,
    message: (f: { readonly instance: string; readonly why: string }) =>
      `the instance ${f.instance} cannot be reached: ${f.why}`,
  },
  'write.no_quorum': {
    ...unavailable,
    message: (f: { readonly acks: number; readonly needed: number; readonly why: string }) =>
      `at least ${f.needed} live replicas are required, ${f.acks} acknowledged: ${f.why}`,
  },
  'read.incomplete': {
    ...unavailable,
    message: (f: { readonly missing: string; readonly tolerated: number }) =>
      `the answer would be incomplete: no answer from ${f.missing}, at most ${f.tolerated} may be missing`,
  },
  'wal.write_failed': {
    ...unavailable,
    message: (f: { readonly why: string }) =>
      `the write-ahead log could not be written: ${f.why}; retry`,
  },
  'wal.sync_failed': {
    ...unavailable,
    message: (f: { readonly why: string }) =>
      `the write-ahead log could not be made durable: ${f.why}; this node stops taking writes`,
  },
  // --- disk ---
  'disk.locked': {
    http: 500,
    grpc: 'FAILED_PRECONDITION',
    retryable: false,
    message: (f: { readonly path: string }) =>
      `the data directory ${f.path} is used by another running process: stop it or choose another --data-dir`,
  },
  'disk.format_newer': {
    http: 500,
    grpc: 'FAILED_PRECONDITION',
    retryable: false,
    message: (f: { readonly path: string; readonly found: string; readonly supported: string }) =>
      `${f.path} was written by a newer version (format ${f.found}, this one reads up to ${f.supported}): use that version or an empty directory`,
  },
  'disk.other_instance': {
    http: 500,
    grpc: 'FAILED_PRECONDITION',
    retryable: false,
    message: (f: { readonly path: string; readonly found: string; readonly wanted: string }) =>
      `the data directory ${f.path} belongs to instance ${f.found}, not to ${f.wanted}: choose another --data-dir or drop --instance-id`,
  },
  'disk.other_cluster': {
    http: 500,
    grpc: 'FAILED_PRECONDITION',
    retryable: false,
    message: (f: { readonly path: string; readonly found: string; readonly wanted: string }) =>
      `the data directory ${f.path} belongs to the cluster labelled ${f.found}, not to ${f.wanted}: choose another --data-dir or the right --cluster.label`,
  },
  'disk.failed': {
    http: 500,
    grpc: 'INTERNAL',
    retryable: true,
    message: (f: { readonly path: string; readonly why: string }) =>
      `the disk failed at ${f.path}: ${f.why}`,
  },
  'wal.corrupt': {
    http: 500,
    grpc: 'INTERNAL',
    retryable: false,
    message: (f: { readonly file: string; readonly offset: number; readonly why: string }) =>
      `the write-ahead log ${f.file} is corrupt at byte ${f.offset}: ${f.why}`,
  },
  // --- blocks ---
  'block.corrupt': {
    http: 500,
    grpc: 'INTERNAL',
    retryable: false,
    message: (f: {
      readonly block: string;
      readonly file: string;
      readonly offset: number;
      readonly why: string;
    }) => `block ${f.block} is corrupt: ${f.file} at byte ${f.offset}: ${f.why}`,
  },
  'block.unsupported': {
    http: 500,
    grpc: 'FAILED_PRECONDITION',
    retryable: false,
    message: (f: { readonly block: string; readonly file: string; readonly why: string }) =>
      `block ${f.block} cannot be read by this version: ${f.file}: ${f.why}`,
  },
  ...blockErrors,
  // --- bucket ---
  'bucket.not_found': {
    http: 500,
    grpc: 'NOT_FOUND',
    retryable: false,
    message: (f: BucketFacts) => `the bucket ${f.bucket} has no object ${f.key}`,
  },
  'bucket.unavailable': {
    ...unavailable,
    message: (f: BucketFacts & { readonly why: string }) =>
      `the bucket ${f.bucket} did not do its work at ${f.key}: ${f.why}; retry later`,
  },
  'bucket.denied': {
    http: 500,
    grpc: 'PERMISSION_DENIED',
    retryable: false,
    message: (f: BucketFacts & { readonly why: string }) =>
      `the bucket ${f.bucket} refused ${f.key}: ${f.why}; check its URL, credentials and rights`,
  },
  'bucket.too_large': {
    http: 500,
    grpc: 'RESOURCE_EXHAUSTED',
    retryable: false,
    message: (f: BucketFacts & { readonly bytes: number; readonly bytesMax: number }) =>
      `the object ${f.key} of the bucket ${f.bucket} is ${f.bytes} bytes, the limit is ${f.bytesMax}`,
  },
  'bucket.corrupt': {
    http: 500,
    grpc: 'INTERNAL',
    retryable: false,
    message: (f: BucketFacts & { readonly why: string }) =>
      `the object ${f.key} of the bucket ${f.bucket} cannot be read: ${f.why}`,
  },
  'bucket.key_invalid': {
    http: 500,
    grpc: 'INVALID_ARGUMENT',
    retryable: false,
    message: (f: { readonly key: string; readonly why: string }) =>
      `${JSON.stringify(f.key)} cannot be the name of an object: ${f.why}`,
  },
  // --- queries ---
  'query.parse': {
    ...invalid,
    message: (f: { readonly text: string }) => f.text,
  },
  'query.unsupported': {
    ...invalid,
    message: (f: { readonly what: string; readonly position: string }) =>
      `${f.position}: ${f.what} is not supported yet`,
  },
  'query.execution': {
    ...unprocessable,
    message: (f: { readonly text: string }) => f.text,
  },
  'query.too_large': {
    ...unprocessable,
    message: (f: { readonly what: string; readonly count: number; readonly countMax: number }) =>
      `the query needs ${f.count} ${f.what}, the limit is ${f.countMax}: narrow the selector or the range`,
  },
  'query.queue_full': {
    http: 429,
    grpc: 'RESOURCE_EXHAUSTED',
    retryable: true,
    message: (f: { readonly countMax: number }) =>
      `${f.countMax} queries of this tenant wait already, which is the limit: ask fewer at once`,
  },
  'query.quarantined': {
    ...unprocessable,
    message: (f: { readonly deaths: number; readonly retryAfterMs: number }) =>
      `this query ended its worker ${f.deaths} times and is refused for another ${f.retryAfterMs} ms: narrow the selector or the range`,
  },
  'query.timeout': {
    http: 503,
    grpc: 'DEADLINE_EXCEEDED',
    retryable: true,
    message: (f: { readonly timeoutMs: number }) =>
      `the query did not finish within ${f.timeoutMs} ms`,
  },
  // --- configuration ---
  'config.invalid': {
    ...invalid,
    message: (f: { readonly where: string; readonly why: string }) => `${f.where}: ${f.why}`,
  },
  internal: {
    http: 500,
    grpc: 'INTERNAL',
    retryable: true,
    message: () => 'an internal error happened; the log of this node has the details',
  },
} as const satisfies Record<string, ErrorSpec>;

export type ErrorId = keyof typeof errorCatalogue;

/** The facts that the message of an error needs; `void` for those without. */
export type ErrorFacts<Id extends ErrorId> =
  Parameters<(typeof errorCatalogue)[Id]['message']> extends [infer Facts] ? Facts : undefined;

/** An operating error from the catalogue. `cause` keeps the inner error for the log. */
export class StarlingError<Id extends ErrorId = ErrorId> extends Error {
  override readonly name = 'StarlingError';
  readonly id: Id;
  readonly facts: ErrorFacts<Id>;
  readonly http: number;
  readonly grpc: GrpcStatus;
  readonly retryable: boolean;

  constructor(id: Id, facts: ErrorFacts<Id>, cause?: unknown) {
    const spec = errorCatalogue[id];
    const message = (spec.message as (facts: ErrorFacts<Id>) => string)(facts);
    super(message, cause === undefined ? undefined : { cause });
    this.id = id;
    this.facts = facts;
    this.http = spec.http;
    this.grpc = spec.grpc;
    this.retryable = spec.retryable;
  }
}

/** Narrows any thrown value to a catalogue error; anything unknown becomes `internal` with it as cause. */
export function toStarlingError(thrown: unknown): StarlingError {
  if (thrown instanceof StarlingError) return thrown as StarlingError;
  return new StarlingError('internal', undefined, thrown);
}
