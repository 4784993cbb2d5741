/**
 * Every setting of a node, once: its place in the YAML file, its flag and environment variable
 * (both derived), its schema and default, and a sentence for `--help` and docs/configuration.md.
 *
 * The file spells keys with underscores (`data_dir`), flags with dashes (`--data-dir`), variables in
 * capitals with `__` between sections (`STARLING_HTTP__LISTEN`). Later sources win: default, file,
 * environment, flag.
 */
import { z } from 'zod';
import { parseBucketUrl } from '../platform/bucket/url.ts';
import { MULTITENANT_LIMITS, SINGLE_TENANT_LIMITS } from '../model/limits.ts';
import { durationSchema } from './durations.ts';
import { retentionFiltersSchema } from './retention-filters.ts';

export { durationSchema };

export interface Setting {
  /** Path in the file, e.g. ['http', 'listen']. */
  readonly path: readonly string[];
  readonly schema: z.ZodType;
  /** Shown in help; undefined when it is computed. */
  readonly defaultText: string;
  readonly help: string;
  /** Given many times on the command line, separated by commas in the environment. */
  readonly isList?: boolean;
  /** A flag without a value. */
  readonly isSwitch?: boolean;
}

/** A bucket URL. */
export const bucketSchema = z.string().superRefine((text, context) => {
  const problem = parseBucketUrl(text);
  if (typeof problem === 'string') context.addIssue({ code: 'custom', message: problem });
});

const portSchema = /^(?:\[[0-9a-fA-F:.]+\]|[^:[\]\s]+):(\d{1,5})$/;

/** Blocks are cut an hour after their end: until then their samples may come in any order. */
const OUT_OF_ORDER_MAX_MS = 3_600_000;

/** A duration up to an hour, or 0. */
export const outOfOrderSchema = z.union([
  z.literal(['0', '0s']).transform(() => 0),
  z.literal(0),
  durationSchema.refine((ms) => ms <= OUT_OF_ORDER_MAX_MS, 'must be at most 1h'),
]);

/** A duration, or 0 for none. */
export const optionalDurationSchema = z.union([
  z.literal(['0', '0s']).transform(() => 0),
  z.literal(0),
  durationSchema,
]);

/** Lengths of blocks, each a multiple of the one before. */
export const blockRangesSchema = z
  .array(durationSchema)
  .min(1, 'must not be empty')
  .max(10, 'must be at most 10 durations')
  .refine(
    (ranges) => ranges.every((range, i) => i === 0 || isMultiple(range, ranges[i - 1]!)),
    'each must be a multiple of the one before',
  );

function isMultiple(longer: number, shorter: number): boolean {
  return longer > shorter && longer % shorter === 0;
}

/** `host:port`; IPv6 in brackets. */
export const addressSchema = z
  .string()
  .refine(
    (text) =>
      Number(portSchema.exec(text)?.[1] ?? -1) >= 0 && Number(portSchema.exec(text)?.[1]) <= 65_535,
    { error: (issue) => `'${String(issue.input)}' is not host:port` },
  );

const wholeNumber = (least: number, most: number): z.ZodType =>
  z.coerce
    .number({ error: 'must be a number' })
    .int('must be a whole number')
    .min(least, `must be at least ${least}`)
    .max(most, `must be at most ${most}`);

const flag = z.union(
  [z.boolean(), z.enum(['true', 'false']).transform((text) => text === 'true')],
  { error: 'must be true or false' },
);

const limitKeys = Object.keys(MULTITENANT_LIMITS).filter(
  (key) => !key.endsWith('_ms'), // these are durations
);

export const settings: readonly Setting[] = [
  {
    path: ['http', 'listen'],
    schema: addressSchema,
    defaultText: '127.0.0.1:9009',
    help: 'address of the HTTP API',
  },
  {
    path: ['grpc', 'listen'],
    schema: addressSchema,
    defaultText: '127.0.0.1:9095',
    help: 'address for streams between nodes',
  },
  {
    path: ['gossip', 'listen'],
    schema: addressSchema,
    defaultText: '127.0.0.1:7946',
    help: 'UDP address for gossip',
  },
  {
    path: ['advertise', 'http'],
    schema: addressSchema,
    defaultText: 'the listen address',
    help: 'HTTP address that other nodes and people use',
  },
  {
    path: ['advertise', 'grpc'],
    schema: addressSchema,
    defaultText: 'the listen address',
    help: 'gRPC address that other nodes dial',
  },
  {
    path: ['advertise', 'gossip'],
    schema: addressSchema,
    defaultText: 'the listen address',
    help: 'gossip address that other nodes send to',
  },
  {
    path: ['join'],
    schema: z.array(addressSchema),
    defaultText: 'none',
    help: 'gRPC address of any other node (repeatable); any one is enough',
    isList: true,
  },
  {
    path: ['cluster', 'label'],
    schema: z
      .string()
      .regex(/^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$/, 'must be 1 to 63 letters, digits, ., _ or -'),
    defaultText: 'local (loopback only)',
    help: 'name of the cluster; nodes of other labels are ignored',
  },
  {
    path: ['cluster', 'key_file'],
    schema: z.string(),
    defaultText: 'none',
    help: 'file with the cluster key (32 bytes, base64): encrypts gossip and authenticates streams',
  },
  {
    path: ['insecure'],
    schema: flag,
    defaultText: 'false',
    help: 'allow addresses other than loopback without a cluster key',
    isSwitch: true,
  },
  {
    path: ['api', 'admin_enabled'],
    schema: flag,
    defaultText: 'false',
    help: 'allow clients to delete series (/api/v1/admin/tsdb/delete_series)',
    isSwitch: true,
  },
  {
    path: ['replication_factor'],
    schema: wholeNumber(1, 7),
    defaultText: '3',
    help: 'copies of each sample, once that many nodes are registered',
  },
  {
    path: ['membership', 'auto_forget_after'],
    schema: optionalDurationSchema,
    defaultText: '12h',
    help: 'how long a node is down before the others forget it and take over what it held, if most of them say so and as many as there are copies live; 0 leaves it to an operator',
  },
  {
    path: ['multitenancy'],
    schema: flag,
    defaultText: 'false',
    help: 'take the tenant from the header X-Scope-OrgID',
    isSwitch: true,
  },
  {
    path: ['wal', 'durability'],
    schema: z.enum(['batch', 'interval', 'os'], { error: 'must be batch, interval or os' }),
    defaultText: 'batch',
    help: 'when a write is acknowledged: batch (synced to disk), interval (synced every wal.sync_interval) or os (left to the system)',
  },
  {
    path: ['wal', 'sync_interval'],
    schema: durationSchema,
    defaultText: '1s',
    help: 'how often the log is synced in mode interval',
  },
  {
    path: ['blocks_storage', 'tsdb', 'retention_period'],
    schema: durationSchema,
    defaultText: '15d',
    help: 'how long blocks stay on the disk of a node',
  },
  {
    path: ['blocks_storage', 'tsdb', 'retention_size'],
    schema: wholeNumber(0, Number.MAX_SAFE_INTEGER),
    defaultText: '0',
    help: 'bytes of blocks that a tenant has on the disk of a node before the oldest go; 0 is off',
  },
  {
    path: ['ingester', 'instance_limits', 'max_tenants'],
    schema: wholeNumber(1, 1_000_000),
    defaultText: '5000',
    help: 'the most tenants one node has open at once; idle ones are closed after an hour and a half, and opened again when they are used',
  },
  {
    path: ['ingester', 'metadata_retain_period'],
    schema: durationSchema,
    defaultText: '1h',
    help: 'how long the type, help and unit of a metric are kept after a sender said them last',
  },
  {
    path: ['compactor', 'block_ranges'],
    schema: blockRangesSchema,
    defaultText: '2h, 12h, 24h',
    help: 'lengths of the blocks that blocks of the bucket become, aligned to multiples of themselves (repeatable)',
    isList: true,
  },
  {
    path: ['compactor', 'compaction_interval'],
    schema: durationSchema,
    defaultText: '15m',
    help: 'from one run of compaction and clean-up of the bucket to the next',
  },
  {
    path: ['compactor', 'first_level_compaction_wait_period'],
    schema: durationSchema,
    defaultText: '25m',
    help: 'how long a new block of the bucket waits for the blocks of its replicas',
  },
  {
    path: ['compactor', 'deletion_delay'],
    schema: durationSchema,
    defaultText: '12h',
    help: 'from marking a block of the bucket to deleting it; at least 40 minutes pass whatever it is',
  },
  {
    path: ['compactor', 'delete_request_cancel_period'],
    schema: optionalDurationSchema,
    defaultText: '24h',
    help: 'how long a request to delete series can be cancelled; its samples are hidden at once, and taken out of blocks after that',
  },
  {
    path: ['compactor', 'max_job_bytes'],
    schema: wholeNumber(1, Number.MAX_SAFE_INTEGER),
    defaultText: String(64 * 1024 ** 3),
    help: 'bytes of the blocks that one job makes into one: the most disk that compaction needs',
  },
  {
    path: ['data_dir'],
    schema: z.string().min(1, 'must not be empty'),
    defaultText: 'data',
    help: 'directory for everything this node stores',
  },
  {
    path: ['bucket'],
    schema: bucketSchema,
    defaultText: 'the directory bucket in data_dir',
    help: 'where blocks are kept for good: file:///dir or s3://bucket/prefix?endpoint=URL&region=NAME&path_style=BOOL, credentials from the environment; the same for all nodes',
  },
  {
    path: ['zone'],
    schema: z
      .string()
      .regex(/^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$/, 'must be 1 to 63 letters, digits, ., _ or -'),
    defaultText: 'the host name',
    help: 'failure zone; replicas are spread over zones',
  },
  {
    path: ['instance_id'],
    schema: z.string(),
    defaultText: 'generated once into the data directory',
    help: 'identity of this node',
  },
  {
    path: ['log', 'level'],
    schema: z.enum(['debug', 'info', 'warn', 'error'], {
      error: 'must be debug, info, warn or error',
    }),
    defaultText: 'info',
    help: 'least level that is logged',
  },
  {
    path: ['query', 'timeout'],
    schema: durationSchema,
    defaultText: '2m',
    help: 'the longest a query may take',
  },
  {
    path: ['query', 'max_samples'],
    schema: wholeNumber(1, 1_000_000_000),
    defaultText: '50000000',
    help: 'the most samples one query may load',
  },
  {
    path: ['query', 'lookback_delta'],
    schema: durationSchema,
    defaultText: '5m',
    help: 'how old a sample may be to stand for a step',
  },
  {
    path: ['query', 'max_source_resolution'],
    schema: z.enum(['auto', 'raw', '5m', '1h'], { error: 'must be auto, raw, 5m or 1h' }),
    defaultText: 'auto',
    help: 'which blocks queries read that do not say: auto (aggregates where the answer is the same), raw (samples), 5m or 1h (aggregates up to that, answers may be near only)',
  },
  {
    path: ['query', 'max_concurrent'],
    schema: wholeNumber(1, 1000),
    defaultText: '40',
    help: 'the most queries that run at once; others wait',
  },
  {
    path: ['query', 'max_concurrent_per_tenant'],
    schema: wholeNumber(1, 1000),
    defaultText: '20',
    help: 'the most queries of one tenant that run at once',
  },
  {
    path: ['query', 'max_queued_per_tenant'],
    schema: wholeNumber(0, 1000),
    defaultText: '100',
    help: 'the most queries of one tenant that wait; more are answered 429',
  },
  {
    path: ['query', 'experimental'],
    schema: flag,
    defaultText: 'false',
    help: 'allow the experimental functions, operators and modifiers of PromQL',
    isSwitch: true,
  },
  {
    path: ['query', 'delayed_name_removal'],
    schema: flag,
    defaultText: 'false',
    help: 'keep metric names until a query ends',
    isSwitch: true,
  },
  {
    path: ['query', 'warm_up'],
    schema: flag,
    defaultText: 'true',
    help: 'ask made-up queries at start, so that the first real ones are fast; takes two CPU seconds',
  },
  ...limitKeys.map((key) => ({
    path: ['limits', key],
    schema: wholeNumber(0, Number.MAX_SAFE_INTEGER),
    defaultText: defaultLimit(key as keyof typeof MULTITENANT_LIMITS),
    help:
      key === 'max_global_exemplars_per_user'
        ? 'how many exemplars of a tenant the cluster keeps; 0 takes none'
        : 'limit of each tenant; 0 is off',
  })),
  {
    path: ['limits', 'creation_grace_period'],
    schema: durationSchema,
    defaultText: '10m',
    help: 'how far in the future a sample may lie',
  },
  {
    path: ['limits', 'out_of_order_time_window'],
    schema: outOfOrderSchema,
    defaultText: '30m',
    help: 'how much older than the newest sample of its tenant a sample may be when it comes out of order',
  },
  {
    path: ['limits', 'compactor_blocks_retention_period'],
    schema: optionalDurationSchema,
    defaultText: '0',
    help: 'how long blocks stay in the bucket after their last sample; 0 is for ever',
  },
  ...(['5m', '1h'] as const).map((resolution) => ({
    path: ['limits', `compactor_blocks_retention_period_${resolution}`],
    schema: optionalDurationSchema,
    defaultText: 'that of samples',
    help: `the same for downsampled blocks of ${resolution}`,
  })),
  {
    path: ['limits', 'compactor_blocks_retention_filters'],
    schema: retentionFiltersSchema,
    defaultText: 'none',
    help: 'how long the samples of some series stay, shorter than others: SELECTOR:PERIOD, such as {env="dev"}:30d (repeatable); of several that match the shortest holds',
    isList: true,
  },
  {
    path: ['limits', 'compactor_partial_block_deletion_delay'],
    schema: durationSchema,
    defaultText: '1d',
    help: 'how long an upload to the bucket may stand still before what there is of it is marked for deletion',
  },
  {
    path: ['limits', 'compactor_block_upload_enabled'],
    schema: flag,
    defaultText: 'false',
    help: 'allow clients to upload blocks (/api/v1/upload/block)',
    isSwitch: true,
  },
  {
    path: ['limits', 'compactor_block_upload_verify_chunks'],
    schema: flag,
    defaultText: 'true',
    help: 'decode every sample of an uploaded block, and not only look at checksums',
    isSwitch: true,
  },
  {
    path: ['limits', 'compactor_block_upload_max_block_size_bytes'],
    schema: wholeNumber(0, Number.MAX_SAFE_INTEGER),
    defaultText: '0',
    help: 'the most bytes that the files of an uploaded block may have together; 0 is any',
  },
  {
    path: ['compactor', 'max_block_upload_validation_concurrency'],
    schema: wholeNumber(1, 100),
    defaultText: '1',
    help: 'how many uploaded blocks a node validates at once; more are answered 429',
  },
];

function defaultLimit(key: keyof typeof MULTITENANT_LIMITS): string {
  const multi = MULTITENANT_LIMITS[key];
  const single = SINGLE_TENANT_LIMITS[key];
  return multi === single ? String(multi) : `${multi} with multitenancy, else ${single}`;
}

/** `--http.listen`, without the dashes. */
export function flagName(setting: Setting): string {
  return setting.path.join('.').replaceAll('_', '-');
}

/** `STARLING_HTTP__LISTEN`. */
export function variableName(setting: Setting): string {
  return `STARLING_${setting.path.join('__').toUpperCase()}`;
}

/** The names nearest to a mistyped one, or undefined when none is near. */
export function nearestName(wrong: string, names: readonly string[]): string | undefined {
  let best: string | undefined;
  let bestDistance = Math.max(2, Math.floor(wrong.length / 3)) + 1;
  for (const name of names) {
    const distance = editDistance(wrong, name);
    if (distance < bestDistance) [best, bestDistance] = [name, distance];
  }
  return best;
}

/** Levenshtein distance; both strings are short names. */
function editDistance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, i) => i);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) {
      next.push(
        Math.min(row[j]! + 1, next[j - 1]! + 1, row[j - 1]! + (a[i - 1] === b[j - 1] ? 0 : 1)),
      );
    }
    row = next;
  }
  return row[b.length]!;
}
