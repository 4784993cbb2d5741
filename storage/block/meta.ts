/**
 * meta.json of a block: what it covers and what it came from. Reading trusts nothing: unknown keys
 * are ignored, known ones are checked, and the ULID must be the name of the block's directory.
 */
import { StarlingError } from '../../model/errors.ts';
import { BLOCK_META_FILE } from '../filenames.ts';
import { type BlockId, parseBlockId } from './ulid.ts';

export const BLOCK_META_BYTES_MAX = 1024 * 1024;
const META_VERSION = 1;

export interface BlockStats {
  readonly sampleCount: number;
  readonly floatSampleCount: number;
  readonly histogramSampleCount: number;
  readonly seriesCount: number;
  readonly chunkCount: number;
  readonly tombstoneCount: number;
}

export interface BlockParent {
  readonly id: BlockId;
  readonly minTimeMs: number;
  readonly maxTimeMs: number;
}

/** `minTimeMs` is in the block, `maxTimeMs` is the first millisecond after it. */
export interface BlockMeta {
  readonly id: BlockId;
  readonly minTimeMs: number;
  readonly maxTimeMs: number;
  readonly stats: BlockStats;
  /** 1: cut from a head. Each compaction adds one to its parents' largest. */
  readonly level: number;
  /** The level 1 blocks that are in it, sorted. */
  readonly sources: readonly BlockId[];
  readonly parents: readonly BlockParent[];
  /** True when a compaction of it left no sample. */
  readonly isDeletable: boolean;
  /** True when a compaction of it failed. */
  readonly hasFailed: boolean;
  readonly hints: readonly string[];
  /** Ids of the deletions that it was made without the samples of; absent: none. */
  readonly deletions?: readonly string[];
  /** Of its aggregates, as the bucket's meta.json says; absent: all samples. Written by bucket/bucket-meta.ts. */
  readonly resolutionMs?: number;
}

/** Our own part of meta.json, which others ignore. */
const OWN_KEY = 'starling';
const BUCKET_KEY = 'thanos';

/** The bytes of meta.json, as Prometheus formats it. */
export function encodeBlockMeta(meta: BlockMeta): Uint8Array {
  const { deletions = [], stats } = meta;
  const json = {
    ulid: meta.id,
    minTime: meta.minTimeMs,
    maxTime: meta.maxTimeMs,
    stats: {
      numSamples: some(stats.sampleCount),
      numSeriesSamples: some(stats.floatSampleCount),
      numHistogramSamples: some(stats.histogramSampleCount),
      numSeries: some(stats.seriesCount),
      numChunks: some(stats.chunkCount),
      numTombstones: some(stats.tombstoneCount),
    },
    compaction: {
      level: meta.level,
      sources: meta.sources,
      deletable: meta.isDeletable ? true : undefined,
      parents:
        meta.parents.length === 0
          ? undefined
          : meta.parents.map(({ id, minTimeMs, maxTimeMs }) => ({
              ulid: id,
              minTime: minTimeMs,
              maxTime: maxTimeMs,
            })),
      failed: meta.hasFailed ? true : undefined,
      hints: meta.hints.length === 0 ? undefined : meta.hints,
    },
    version: META_VERSION,
    [OWN_KEY]: deletions.length === 0 ? undefined : { deletions },
  };
  return Buffer.from(JSON.stringify(json, undefined, '\t'));
}

/** Numbers that are 0 are left out. */
function some(count: number): number | undefined {
  return count === 0 ? undefined : count;
}

/** Reads meta.json of the block `id`. Throws `block.corrupt` or `block.unsupported`. */
export function parseBlockMeta(bytes: Uint8Array, id: BlockId): BlockMeta {
  if (bytes.length > BLOCK_META_BYTES_MAX) throw bad(id, 'it is larger than 1 MiB');
  let json: unknown;
  try {
    json = JSON.parse(Buffer.from(bytes).toString());
  } catch (thrown) {
    throw bad(id, `not JSON: ${thrown instanceof Error ? thrown.message : ''}`);
  }
  const root = new Fields(id, json, 'the file');
  const version = root.integer('version', 0);
  if (version !== META_VERSION) {
    const why = `version ${version}, this one reads version ${META_VERSION}`;
    throw new StarlingError('block.unsupported', { block: id, file: BLOCK_META_FILE, why });
  }
  if (root.id('ulid') !== id) throw bad(id, 'its ulid is not the name of its directory');
  const range = timesOf(root);
  const stats = root.object('stats');
  const compaction = root.object('compaction');
  const deletions = root
    .object(OWN_KEY)
    .list('deletions')
    .filter((one) => typeof one === 'string');
  const resolutionMs = root.object(BUCKET_KEY).object('downsample').integer('resolution', 0);
  return {
    id,
    ...range,
    stats: statsOf(stats),
    level: compaction.integer('level', 1),
    sources: compaction.list('sources').map((source) => idOf(id, source, 'sources')),
    parents: compaction.list('parents').map((value) => {
      const parent = new Fields(id, value, 'parents');
      return { id: parent.id('ulid'), ...timesOf(parent) };
    }),
    isDeletable: compaction.flag('deletable'),
    hasFailed: compaction.flag('failed'),
    hints: compaction.list('hints').filter((hint) => typeof hint === 'string'),
    ...(deletions.length > 0 && { deletions }),
    ...(resolutionMs > 0 && { resolutionMs }),
  };
}

function statsOf(stats: Fields): BlockStats {
  return {
    sampleCount: stats.integer('numSamples', 0),
    floatSampleCount: stats.integer('numSeriesSamples', 0),
    histogramSampleCount: stats.integer('numHistogramSamples', 0),
    seriesCount: stats.integer('numSeries', 0),
    chunkCount: stats.integer('numChunks', 0),
    tombstoneCount: stats.integer('numTombstones', 0),
  };
}

function timesOf(fields: Fields): { readonly minTimeMs: number; readonly maxTimeMs: number } {
  const minTimeMs = fields.integer('minTime');
  const maxTimeMs = fields.integer('maxTime');
  if (minTimeMs > maxTimeMs) throw bad(fields.block, 'minTime is after maxTime');
  return { minTimeMs, maxTimeMs };
}

function idOf(block: BlockId, value: unknown, where: string): BlockId {
  const parsed = typeof value === 'string' ? parseBlockId(value) : undefined;
  if (parsed === undefined) throw bad(block, `${where} has something that is not a ULID`);
  return parsed;
}

/** The own keys of one JSON object, checked as they are asked for. */
class Fields {
  readonly block: BlockId;
  readonly #where: string;
  readonly #values: ReadonlyMap<string, unknown>;

  constructor(block: BlockId, value: unknown, where: string) {
    this.block = block;
    this.#where = where;
    if (typeof value !== 'object' || value === null || Array.isArray(value)) {
      throw bad(block, `${where} is not an object`);
    }
    this.#values = new Map(Object.entries(value));
  }

  /** An integer; without `least` it must be there and may be negative. */
  integer(key: string, least?: number): number {
    const value = this.#values.get(key) ?? least;
    const isIn = typeof value === 'number' && Number.isSafeInteger(value);
    if (!isIn || value < (least ?? value)) throw bad(this.block, `${key} is not a number`);
    return value;
  }

  id(key: string): BlockId {
    return idOf(this.block, this.#values.get(key), key);
  }

  flag(key: string): boolean {
    return this.#values.get(key) === true;
  }

  object(key: string): Fields {
    return new Fields(this.block, this.#values.get(key) ?? {}, `${this.#where}.${key}`);
  }

  list(key: string): readonly unknown[] {
    const value = this.#values.get(key) ?? [];
    if (!Array.isArray(value)) throw bad(this.block, `${key} is not a list`);
    return value;
  }
}

function bad(block: BlockId, why: string): StarlingError {
  return new StarlingError('block.corrupt', { block, file: BLOCK_META_FILE, offset: 0, why });
}
