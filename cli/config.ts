/**
 * A node's configuration: reads the sources (file, environment, flags), checks every value where it
 * stands, and derives what is computed. Pure: the bytes of the file, the variables and the flags come
 * in, a `Config` or the list of everything that is wrong goes out.
 */
import { LineCounter, isMap, isScalar, isSeq, parseDocument, type Node, type YAMLMap } from 'yaml';
import type { QuerySettings } from '../actors/querier/settings.ts';
import type { InstanceId } from '../model/ids.ts';
import { parseInstanceId } from '../model/ids.ts';
import { type Limits, MULTITENANT_LIMITS, SINGLE_TENANT_LIMITS } from '../model/limits.ts';
import type { RetentionRule } from '../storage/index.ts';
import { type Setting, flagName, nearestName, settings, variableName } from './settings.ts';

export interface CompactorSettings {
  readonly blockRangesMs: readonly number[];
  readonly intervalMs: number;
  /** A block waits so long for those of its replicas. */
  readonly waitMs: number;
  readonly deletionDelayMs: number;
  /** How long a request to delete series can be cancelled. */
  readonly cancelPeriodMs: number;
  readonly jobBytesMax: number;
}

export interface Config {
  readonly httpListen: string;
  readonly grpcListen: string;
  readonly gossipListen: string;
  readonly advertiseHttp: string | undefined;
  readonly advertiseGrpc: string | undefined;
  readonly advertiseGossip: string | undefined;
  readonly join: readonly string[];
  readonly clusterLabel: string | undefined;
  readonly clusterKeyFile: string | undefined;
  readonly insecure: boolean;
  /** Whether clients may delete series. */
  readonly adminEnabled: boolean;
  readonly replicationFactor: number;
  /** How long an instance is down before it is forgotten; 0: only an operator forgets. */
  readonly autoForgetMs: number;
  readonly multitenancy: boolean;
  readonly walDurability: 'batch' | 'interval' | 'os';
  readonly walSyncIntervalMs: number;
  /** How long blocks stay on this node's disk, and how many bytes of them a tenant has; 0: no limit. */
  readonly blocksRetentionMs: number;
  readonly blocksRetentionBytes: number;
  readonly tenantsOpenMax: number;
  /** How long metadata is kept after it was said last. */
  readonly metadataRetainMs: number;
  readonly compactor: CompactorSettings;
  readonly blockUpload: BlockUploadSettings;
  readonly dataDirectory: string;
  /** A valid bucket URL; undefined: a directory in the data directory. */
  readonly bucket: string | undefined;
  readonly zone: string | undefined;
  readonly instanceId: InstanceId | undefined;
  readonly logLevel: 'debug' | 'error' | 'info' | 'warn';
  readonly query: QuerySettings;
  /** Whether made-up queries are asked at start. */
  readonly warmsUp: boolean;
  readonly limits: Limits;
  /** Of some series, of every tenant. */
  readonly retentionRules: readonly RetentionRule[];
}

/** Blocks that clients upload. */
export interface BlockUploadSettings {
  readonly isEnabled: boolean;
  readonly verifiesChunks: boolean;
  /** 0: any. */
  readonly sizeBytesMax: number;
  readonly validationsMax: number;
}

/** One thing that is wrong: where it stands, and what to do. */
export interface ConfigProblem {
  readonly where: string;
  readonly why: string;
}

export interface ConfigSources {
  readonly file?: { readonly name: string; readonly bytes: Uint8Array };
  readonly environment: Readonly<Record<string, string | undefined>>;
  /** Flag name without dashes to its values as given. */
  readonly flags: ReadonlyMap<string, readonly string[]>;
}

export const CONFIG_FILE_BYTES_MAX = 4 * 1024 * 1024;

/** A value as given, and where. */
interface Given {
  readonly value: unknown;
  readonly where: string;
}

/** Reads the configuration, or says everything that is wrong with it. */
export function readConfig(
  sources: ConfigSources,
): { readonly config: Config } | { readonly problems: readonly ConfigProblem[] } {
  const problems: ConfigProblem[] = [];
  const given = new Map<Setting, Given>();
  if (sources.file !== undefined) readFile(sources.file, given, problems);
  readEnvironment(sources.environment, given, problems);
  readFlags(sources.flags, given, problems);
  const values = new Map<string, unknown>();
  for (const [setting, { value, where }] of given) {
    const parsed = setting.schema.safeParse(value);
    if (parsed.success) values.set(setting.path.join('.'), parsed.data);
    else for (const issue of parsed.error.issues) problems.push({ where, why: issue.message });
  }
  if (problems.length > 0) return { problems };
  return deriveConfig(values, given);
}

/** Values by path, with what they are when nobody gave them. */
function getterOf(
  values: ReadonlyMap<string, unknown>,
): <Value>(path: string, fallback: Value) => Value {
  return <Value>(path: string, fallback: Value) =>
    (values.get(path) as Value | undefined) ?? fallback; // as its schema made it
}

function deriveConfig(
  values: ReadonlyMap<string, unknown>,
  given: ReadonlyMap<Setting, Given>,
): { readonly config: Config } | { readonly problems: readonly ConfigProblem[] } {
  const get = getterOf(values);
  const multitenancy = get('multitenancy', false);
  const config: Config = {
    httpListen: get('http.listen', '127.0.0.1:9009'),
    grpcListen: get('grpc.listen', '127.0.0.1:9095'),
    gossipListen: get('gossip.listen', '127.0.0.1:7946'),
    advertiseHttp: get<string | undefined>('advertise.http', undefined),
    advertiseGrpc: get<string | undefined>('advertise.grpc', undefined),
    advertiseGossip: get<string | undefined>('advertise.gossip', undefined),
    join: get('join', []),
    clusterLabel: get<string | undefined>('cluster.label', undefined),
    clusterKeyFile: get<string | undefined>('cluster.key_file', undefined),
    insecure: get('insecure', false),
    adminEnabled: get('api.admin_enabled', false),
    replicationFactor: get('replication_factor', 3),
    autoForgetMs: get('membership.auto_forget_after', 12 * 3_600_000),
    multitenancy,
    walDurability: get('wal.durability', 'batch'),
    walSyncIntervalMs: get('wal.sync_interval', 1000),
    blocksRetentionMs: get('blocks_storage.tsdb.retention_period', 15 * 24 * 3_600_000),
    blocksRetentionBytes: get('blocks_storage.tsdb.retention_size', 0),
    tenantsOpenMax: get('ingester.instance_limits.max_tenants', 5000),
    metadataRetainMs: get('ingester.metadata_retain_period', 3_600_000),
    compactor: deriveCompactor(values),
    blockUpload: deriveBlockUpload(values),
    dataDirectory: get('data_dir', 'data'),
    bucket: get<string | undefined>('bucket', undefined),
    zone: get<string | undefined>('zone', undefined),
    instanceId: undefined,
    logLevel: get('log.level', 'info'),
    query: {
      maxSourceResolution: get('query.max_source_resolution', 'auto'),
      timeoutMs: get('query.timeout', 120_000),
      samplesMax: get('query.max_samples', 50_000_000),
      lookbackMs: get('query.lookback_delta', 5 * 60_000),
      concurrentMax: get('query.max_concurrent', 40),
      concurrentPerTenantMax: get('query.max_concurrent_per_tenant', 20),
      queuedPerTenantMax: get('query.max_queued_per_tenant', 100),
      isExperimental: get('query.experimental', false),
      delayedNameRemoval: get('query.delayed_name_removal', false),
    },
    warmsUp: get('query.warm_up', true),
    retentionRules: get('limits.compactor_blocks_retention_filters', []),
    limits: deriveLimits(values, multitenancy),
  };
  const problems: ConfigProblem[] = [];
  const instanceId = get<string | undefined>('instance_id', undefined);
  const where = (path: string): string => {
    for (const [setting, one] of given) if (setting.path.join('.') === path) return one.where;
    return path;
  };
  try {
    const id = instanceId === undefined ? undefined : parseInstanceId(instanceId);
    problems.push(...checkExposure(config, where));
    return problems.length > 0 ? { problems } : { config: { ...config, instanceId: id } };
  } catch (error) {
    problems.push({
      where: where('instance_id'),
      why: error instanceof Error ? error.message : 'is invalid',
    });
    return { problems };
  }
}

function deriveCompactor(values: ReadonlyMap<string, unknown>): CompactorSettings {
  const get = getterOf(values);
  return {
    blockRangesMs: get(
      'compactor.block_ranges',
      [2, 12, 24].map((hours) => hours * 3_600_000),
    ),
    intervalMs: get('compactor.compaction_interval', 15 * 60_000),
    waitMs: get('compactor.first_level_compaction_wait_period', 25 * 60_000),
    deletionDelayMs: get('compactor.deletion_delay', 12 * 3_600_000),
    cancelPeriodMs: get('compactor.delete_request_cancel_period', 24 * 3_600_000),
    jobBytesMax: get('compactor.max_job_bytes', 64 * 1024 ** 3),
  };
}

function deriveBlockUpload(values: ReadonlyMap<string, unknown>): BlockUploadSettings {
  const get = getterOf(values);
  return {
    isEnabled: get('limits.compactor_block_upload_enabled', false),
    verifiesChunks: get('limits.compactor_block_upload_verify_chunks', true),
    sizeBytesMax: get('limits.compactor_block_upload_max_block_size_bytes', 0),
    validationsMax: get('compactor.max_block_upload_validation_concurrency', 1),
  };
}

function deriveLimits(values: ReadonlyMap<string, unknown>, multitenancy: boolean): Limits {
  const limits: Record<string, number> = {
    ...(multitenancy ? MULTITENANT_LIMITS : SINGLE_TENANT_LIMITS),
  };
  for (const key of Object.keys(limits)) {
    const value = values.get(`limits.${key.replace(/_ms$/, '')}`);
    if (typeof value === 'number') limits[key] = value;
  }
  return limits as unknown as Limits; // every key of the defaults was copied
}

/** Nodes reach each other over anything but loopback only with a key, a label, or `--insecure`. */
function checkExposure(config: Config, where: (path: string) => string): ConfigProblem[] {
  const problems: ConfigProblem[] = [];
  for (const [path, address] of [
    ['grpc.listen', config.grpcListen],
    ['gossip.listen', config.gossipListen],
  ] as const) {
    if (isLoopback(address)) continue;
    if (config.clusterKeyFile === undefined && !config.insecure) {
      problems.push({
        where: where(path),
        why: `${address} is not loopback: give the nodes a cluster key (--cluster.key-file), or say --insecure`,
      });
    } else if (config.clusterLabel === undefined) {
      problems.push({
        where: where(path),
        why: `${address} is not loopback: name the cluster with --cluster.label`,
      });
    }
  }
  return problems;
}

/** True for 127.0.0.0/8, ::1 and localhost. */
export function isLoopback(address: string): boolean {
  const host = address.slice(0, address.lastIndexOf(':'));
  return host === 'localhost' || host === '[::1]' || /^127\.\d+\.\d+\.\d+$/.test(host);
}

function readEnvironment(
  environment: Readonly<Record<string, string | undefined>>,
  given: Map<Setting, Given>,
  problems: ConfigProblem[],
): void {
  const names = new Map(settings.map((setting) => [variableName(setting), setting]));
  for (const [name, text] of Object.entries(environment)) {
    if (!name.startsWith('STARLING_') || text === undefined) continue;
    const setting = names.get(name);
    if (setting === undefined) problems.push(unknownName(name, name, [...names.keys()]));
    else
      given.set(setting, {
        value: setting.isList === true ? text.split(',').filter((part) => part !== '') : text,
        where: name,
      });
  }
}

function readFlags(
  flags: ReadonlyMap<string, readonly string[]>,
  given: Map<Setting, Given>,
  problems: ConfigProblem[],
): void {
  const names = new Map(settings.map((setting) => [flagName(setting), setting]));
  for (const [name, texts] of flags) {
    const setting = names.get(name);
    if (setting === undefined) {
      problems.push(unknownName(`--${name}`, name, [...names.keys()], '--'));
    } else if (setting.isList === true) {
      given.set(setting, { value: texts, where: `--${name}` });
    } else if (texts.length > 1) {
      problems.push({ where: `--${name}`, why: 'was given more than once' });
    } else {
      given.set(setting, { value: texts[0], where: `--${name}` });
    }
  }
}

function unknownName(
  where: string,
  name: string,
  names: readonly string[],
  prefix = '',
): ConfigProblem {
  const nearest = nearestName(name, names);
  return {
    where,
    why: `there is no such setting${nearest === undefined ? '' : `; did you mean ${prefix}${nearest}?`}`,
  };
}

function readFile(
  file: { readonly name: string; readonly bytes: Uint8Array },
  given: Map<Setting, Given>,
  problems: ConfigProblem[],
): void {
  if (file.bytes.length > CONFIG_FILE_BYTES_MAX) {
    problems.push({
      where: file.name,
      why: `is ${file.bytes.length} bytes, the limit is ${CONFIG_FILE_BYTES_MAX}`,
    });
    return;
  }
  const text = new TextDecoder('utf-8').decode(file.bytes);
  const lines = new LineCounter();
  const document = parseDocument(text, {
    lineCounter: lines,
    uniqueKeys: true,
    prettyErrors: false,
  });
  const at = (offset: number): string => {
    const { line, col } = lines.linePos(offset);
    return `${file.name}:${line}:${col}`;
  };
  for (const error of document.errors)
    problems.push({ where: at(error.pos[0]), why: error.message });
  if (document.errors.length > 0 || document.contents === null) return;
  if (!isMap(document.contents)) {
    problems.push({ where: at(0), why: 'must be a mapping of settings' });
    return;
  }
  readMap(document.contents, [], at, given, problems);
}

function readMap(
  map: YAMLMap,
  path: readonly string[],
  at: (offset: number) => string,
  given: Map<Setting, Given>,
  problems: ConfigProblem[],
): void {
  for (const pair of map.items) {
    const keyNode = pair.key as Node | null;
    const key = isScalar(keyNode) ? String(keyNode.value) : '?';
    const here = [...path, key];
    const where = at((keyNode?.range ?? [0])[0]);
    const setting = settings.find((one) => one.path.join('.') === here.join('.'));
    const below = settings.filter(
      (one) =>
        one.path.length > here.length &&
        one.path.slice(0, here.length).join('.') === here.join('.'),
    );
    if (setting !== undefined) {
      given.set(setting, { value: plainValue(pair.value as Node | null), where });
    } else if (below.length > 0 && (pair.value === null || isMap(pair.value))) {
      if (isMap(pair.value)) readMap(pair.value, here, at, given, problems);
    } else if (below.length > 0) {
      problems.push({ where, why: `${here.join('.')} must be a mapping of settings` });
    } else {
      const siblings = settings
        .filter((one) => one.path.slice(0, path.length).join('.') === path.join('.'))
        .map((one) => one.path[path.length] ?? '');
      problems.push(unknownName(where, key, [...new Set(siblings)]));
    }
  }
}

/** Scalars and lists of scalars; anything else is left for the schema to refuse. */
function plainValue(node: Node | null): unknown {
  if (isScalar(node)) return node.value;
  if (isSeq(node)) return node.items.map((item) => plainValue(item as Node | null));
  return undefined;
}
