/**
 * Blocks that clients upload over HTTP, with Mimir's steps. All state is in the bucket, so any node may take
 * any step:
 *
 *   start   uploading-meta.json                    files  chunks/000001 …, index
 *   finish  validation.json ─(read completely)─►   meta.json, and both others go: the block is there
 *                             └─(a fault)──────►   validation.json says why: start again
 *
 * Invariant: meta.json is put last, after every byte was verified. An upload that is given up has no meta.json and is
 * cleaned by the compactor. A validation that died with its node is one whose state grows old.
 */
import { StarlingError, toStarlingError } from '../../model/errors.ts';
import type { TenantId } from '../../model/ids.ts';
import type { Bucket, Clock, Disk, Log } from '../../platform/platform.ts';
import type { BlockFiles } from '../block/byte-source.ts';
import { BLOCK_META_BYTES_MAX } from '../block/meta.ts';
import { type BlockId, parseBlockId } from '../block/ulid.ts';
import {
  type BucketMeta,
  encodeBucketMeta,
  foreignLabels,
  foreignMeta,
  parseBucketMeta,
} from '../bucket/bucket-meta.ts';
import { BadDocument, JsonObject } from '../bucket/json.ts';
import { UPLOADING_META_FILE, VALIDATION_FILE, blockKey } from '../bucket/layout.ts';
import { readObject } from '../bucket/objects.ts';
import { remoteBlockFiles } from '../compact/remote-block.ts';
import { BLOCK_META_FILE } from '../filenames.ts';
import { Pacer } from '../pacer.ts';
import { checkBlockFiles, checkBlockMeta } from '../tools/block-rules.ts';
import { type BodyParts, FileSpool } from './file-spool.ts';

/** What a tenant may upload. */
export interface UploadLimits {
  readonly isEnabled: boolean;
  /** Samples are decoded, not only checksums looked at. */
  readonly verifiesChunks: boolean;
  /** 0: any. */
  readonly sizeBytesMax: number;
  /** 0: for ever. */
  readonly retentionMs: number;
}

export interface BlockUploadsOptions {
  readonly bucket: Bucket;
  readonly clock: Clock;
  readonly disk: Disk;
  readonly log: Log;
  /** For files on their way; nobody else's. */
  readonly directory: string;
  readonly limitsOf: (tenant: TenantId) => UploadLimits;
  readonly validationsMax: number;
}

export interface UploadState {
  readonly result: 'complete' | 'failed' | 'uploading' | 'validating';
  /** Of a failed one. */
  readonly error?: string;
}

const HEARTBEAT_MS = 30_000;
const VALIDATION_AGE_MAX_MS = 5 * 60_000;
const VALIDATION_BYTES_MAX = 64 * 1024;
const ERROR_CHARACTERS_MAX = 4096;

export class BlockUploads {
  readonly #options: BlockUploadsOptions;
  readonly #spool: FileSpool;
  /** What is validated here now. */
  readonly #running = new Map<string, Promise<void>>();
  #isStopping = false;

  constructor(options: BlockUploadsOptions) {
    this.#options = options;
    this.#spool = new FileSpool(options);
  }

  /** Begins an upload with the block's meta.json. Throws `upload.*`, `block.*`, `bucket.*`. */
  async start(tenant: TenantId, block: string, metaJson: Uint8Array): Promise<void> {
    const { bucket, clock } = this.#options;
    const { limits } = this.#begin(tenant);
    const id = parseUploadId(block);
    await this.#refuseDone(tenant, id);
    const sent = readSentMeta(metaJson, id);
    const { retentionMs, sizeBytesMax } = limits;
    checkBlockMeta(sent, { tenant, nowMs: clock.wallMs(), retentionMs, sizeBytesMax });
    checkBlockFiles(id, sent.files, { sizeBytesMax });
    const labels = new Map(foreignLabels(sent));
    labels.delete('__tenant_id__');
    const facts = { origin: 'bucket.upload', files: sent.files, stores: [], labels } as const;
    await bucket.delete(blockKey(tenant, id, VALIDATION_FILE));
    const key = blockKey(tenant, id, UPLOADING_META_FILE);
    await bucket.put(key, encodeBucketMeta(foreignMeta(sent), tenant, facts));
  }

  /** Takes one file. Throws `upload.*`, `bucket.*`, `disk.failed`. */
  async putFile(
    tenant: TenantId,
    block: string,
    { body, path }: { readonly path: string; readonly body: BodyParts },
  ): Promise<void> {
    this.#begin(tenant);
    const id = parseUploadId(block);
    await this.#refuseDone(tenant, id);
    const { files } = parseBucketMeta(await this.#uploadingMeta(tenant, id), id);
    const file = files.find((one) => one.path === path);
    if (file === undefined) {
      const why = `meta.json names ${files.map((one) => one.path).join(', ')}`;
      throw new StarlingError('upload.file', { block: id, path: path.slice(0, 100), why });
    }
    await this.#spool.through({ block: id, ...file }, body, (source) =>
      this.#options.bucket.put(blockKey(tenant, id, path), source),
    );
  }

  /** Begins the validation; `check` tells when it is done. Throws `upload.*`, `bucket.*`. */
  async finish(tenant: TenantId, block: string): Promise<void> {
    const { limits } = this.#begin(tenant);
    const id = parseUploadId(block);
    const key = `${tenant}/${id}`;
    if (this.#running.has(key)) throw inValidation(id);
    const { validationsMax: countMax } = this.#options;
    if (this.#running.size >= countMax) {
      throw new StarlingError('upload.busy', { what: 'validations of uploads', countMax });
    }
    const begun = (async () => {
      await this.#refuseDone(tenant, id);
      const meta = await this.#uploadingMeta(tenant, id);
      await this.#putValidation(tenant, id, '');
      return meta;
    })();
    // The place is taken before anything is waited for.
    const validation = begun
      .then((meta) => this.#validate(tenant, id, meta, limits))
      .catch(() => undefined) // `begun` tells its caller; what comes later is in the bucket and the log
      .finally(() => this.#running.delete(key));
    this.#running.set(key, validation);
    await begun;
  }

  /** How far an upload is. Throws `upload.not_started`, `bucket.*`. */
  async check(tenant: TenantId, block: string): Promise<UploadState> {
    this.#begin(tenant);
    const id = parseUploadId(block);
    if (await this.#isComplete(tenant, id)) return { result: 'complete' };
    await this.#uploadingMeta(tenant, id);
    const validation = await this.#readValidation(tenant, id);
    if (validation === undefined) return { result: 'uploading' };
    if (validation.error !== '') return { result: 'failed', error: validation.error };
    return { result: validation.isOld ? 'uploading' : 'validating' };
  }

  /** Ends the validations of this node: another `finish` begins them again. */
  async close(): Promise<void> {
    this.#isStopping = true;
    await Promise.all(this.#running.values());
  }

  #begin(tenant: TenantId): { readonly limits: UploadLimits } {
    const limits = this.#options.limitsOf(tenant);
    if (!limits.isEnabled) throw new StarlingError('upload.disabled', undefined);
    return { limits };
  }

  async #isComplete(tenant: TenantId, id: BlockId): Promise<boolean> {
    const key = blockKey(tenant, id, BLOCK_META_FILE);
    return (await this.#options.bucket.head(key)) !== undefined;
  }

  async #refuseDone(tenant: TenantId, id: BlockId): Promise<void> {
    if (await this.#isComplete(tenant, id)) {
      throw new StarlingError('upload.exists', { block: id, why: 'it is in the bucket' });
    }
    const validation = await this.#readValidation(tenant, id);
    if (validation?.error === '' && !validation.isOld) throw inValidation(id);
  }

  async #uploadingMeta(tenant: TenantId, id: BlockId): Promise<Uint8Array> {
    const key = blockKey(tenant, id, UPLOADING_META_FILE);
    const bytes = await readObject(this.#options.bucket, key, BLOCK_META_BYTES_MAX);
    if (bytes === undefined) throw new StarlingError('upload.not_started', { block: id });
    return bytes;
  }

  async #readValidation(
    tenant: TenantId,
    id: BlockId,
  ): Promise<{ readonly error: string; readonly isOld: boolean } | undefined> {
    const { bucket, clock } = this.#options;
    const key = blockKey(tenant, id, VALIDATION_FILE);
    const bytes = await readObject(bucket, key, VALIDATION_BYTES_MAX);
    if (bytes === undefined) return undefined;
    try {
      const root = JsonObject.parse(Buffer.from(bytes).toString());
      const ageMs = clock.wallMs() - root.integer('last_update');
      return { error: root.text('error', ''), isOld: ageMs > VALIDATION_AGE_MAX_MS };
    } catch (thrown) {
      if (!(thrown instanceof BadDocument)) throw thrown;
      throw new StarlingError('bucket.corrupt', { bucket: bucket.name, key, why: thrown.message });
    }
  }

  async #putValidation(tenant: TenantId, id: BlockId, error: string): Promise<void> {
    const { bucket, clock } = this.#options;
    const document = { last_update: Math.floor(clock.wallMs()), error };
    const bytes = Buffer.from(JSON.stringify(document));
    await bucket.put(blockKey(tenant, id, VALIDATION_FILE), bytes);
  }

  async #validate(
    tenant: TenantId,
    id: BlockId,
    metaJson: Uint8Array,
    { verifiesChunks }: UploadLimits,
  ): Promise<void> {
    const { bucket, clock, log } = this.#options;
    const stopHeartbeat = this.#beat(tenant, id);
    let problem = '';
    try {
      const { refuseFaults } = await import('../tools/import-block.ts'); // only nodes that validate load it
      const pacer = new Pacer(clock, () => this.#isStopping);
      await refuseFaults(uploadedFiles(bucket, tenant, id, metaJson), pacer, !verifiesChunks);
    } catch (thrown) {
      const error = toStarlingError(thrown);
      if (!error.id.startsWith('block.')) {
        log.warn('validation of an upload ended', { tenant, block: id, error: error.message });
        throw error; // the state in the bucket grows old
      }
      problem = error.message.slice(0, ERROR_CHARACTERS_MAX);
    } finally {
      await stopHeartbeat();
    }
    if (problem !== '') {
      await this.#putValidation(tenant, id, problem);
      log.warn('uploaded block refused', { tenant, block: id, why: problem });
      return;
    }
    await bucket.put(blockKey(tenant, id, BLOCK_META_FILE), metaJson);
    await bucket.delete(blockKey(tenant, id, UPLOADING_META_FILE));
    await bucket.delete(blockKey(tenant, id, VALIDATION_FILE));
    log.info('block uploaded by a client', { tenant, block: id });
  }

  /** Says now and then that the validation goes on. The result ends that, and waits for the last one. */
  #beat(tenant: TenantId, id: BlockId): () => Promise<void> {
    const { clock } = this.#options;
    let writing: Promise<void> = Promise.resolve();
    const arm = () =>
      clock.after(HEARTBEAT_MS, () => {
        writing = this.#putValidation(tenant, id, '').catch(() => undefined); // the next one says it
        timer = arm();
      });
    let timer = arm();
    return async () => {
      timer.cancel();
      await writing;
    };
  }
}

function inValidation(id: BlockId): StarlingError {
  return new StarlingError('upload.exists', { block: id, why: 'it is being validated' });
}

function parseUploadId(text: string): BlockId {
  const id = parseBlockId(text);
  if (id !== undefined) return id;
  const why = `${JSON.stringify(text.slice(0, 64))} is not a ULID of 26 characters`;
  throw new StarlingError('request.parameter', { parameter: 'block', why });
}

/** A client's meta.json; what is wrong with it is the client's fault. */
function readSentMeta(bytes: Uint8Array, id: BlockId): BucketMeta {
  try {
    return parseBucketMeta(bytes, id);
  } catch (thrown) {
    const error = toStarlingError(thrown);
    if (!error.id.startsWith('block.')) throw thrown;
    const facts = { block: id, rule: 'meta', why: error.message };
    throw new StarlingError('block.refused', facts, thrown);
  }
}

/** The files as they are in the bucket, with the meta.json that the block will have. */
function uploadedFiles(
  bucket: Bucket,
  tenant: TenantId,
  id: BlockId,
  metaJson: Uint8Array,
): BlockFiles {
  const remote = remoteBlockFiles(bucket, tenant, id);
  return {
    id,
    open(path) {
      if (path !== BLOCK_META_FILE) return remote.open(path);
      return Promise.resolve({
        sizeBytes: metaJson.length,
        read: (offset, byteCount) => Promise.resolve(metaJson.slice(offset, offset + byteCount)),
        close: () => Promise.resolve(),
      });
    },
  };
}
