/**
 * A bucket in S3, or in anything that speaks its protocol. Invariants: every request has a deadline and a
 * bounded number of attempts; what a store answers is held against what was asked (range, length) before
 * anybody sees it; a large object is uploaded in parts, each with its checksum, and an upload that does
 * not succeed is taken back.
 *
 * The SDK is loaded with the first request, so that a node with a local bucket never pays for it. Its own
 * retries are off: it cannot retry a body that breaks off.
 */
import { createHash } from 'node:crypto';
import type { S3Client } from '@aws-sdk/client-s3';
import { assert } from '../../../model/assert.ts';
import { StarlingError } from '../../../model/errors.ts';
import { checkObjectKey } from '../../bucket/key.ts';
import { type BucketLocation, bucketName } from '../../bucket/url.ts';
import type {
  Bucket,
  BucketBody,
  BucketListOptions,
  BucketObject,
  BucketPage,
  Clock,
  Random,
} from '../../platform.ts';
import { type AttemptLimits, attempts } from './attempts.ts';
import { isRangeError, s3Error } from './s3-errors.ts';

type Sdk = typeof import('@aws-sdk/client-s3');
type S3Location = Extract<BucketLocation, { readonly kind: 's3' }>;

const REQUEST_LIMITS: AttemptLimits = { countMax: 5, attemptMs: 15_000, totalMs: 60_000 };
/** For requests that carry a part: slow lines are given their time. */
const TRANSFER_LIMITS: AttemptLimits = { countMax: 5, attemptMs: 60_000, totalMs: 180_000 };
const SMALL_BYTES_MAX = 1024 * 1024;
const CONNECT_TIMEOUT_MS = 5000;
const SOCKETS_MAX = 64;
/** Larger objects go up in parts of this size; 10,000 parts are the protocol's bound. */
const PART_BYTES_MIN = 16 * 1024 * 1024;
const PARTS_MAX = 10_000;
const PAGE_MAX = 1000;

export interface S3BucketOptions {
  readonly location: S3Location;
  readonly clock: Clock;
  readonly random: Random;
  /** For tests. */
  readonly limits?: AttemptLimits;
  readonly partBytes?: number;
}

export class S3Bucket implements Bucket {
  readonly name: string;
  readonly #options: S3BucketOptions;
  #opening: Promise<{ readonly sdk: Sdk; readonly client: S3Client }> | undefined;

  constructor(options: S3BucketOptions) {
    this.name = bucketName(options.location);
    this.#options = options;
  }

  getRange(
    key: string,
    offset: number,
    byteCount: number,
    signal?: AbortSignal,
  ): Promise<Uint8Array> {
    if (byteCount === 0) return Promise.resolve(new Uint8Array(0));
    const limits = byteCount > SMALL_BYTES_MAX ? TRANSFER_LIMITS : REQUEST_LIMITS;
    return this.#request({ key, limits, signal }, async ({ client, sdk }, where, abortSignal) => {
      const Range = `bytes=${offset}-${offset + byteCount - 1}`;
      try {
        const command = new sdk.GetObjectCommand({ ...where, Range });
        const answer = await client.send(command, { abortSignal });
        const { body, sizeBytes } = checkAnswer(answer, offset, byteCount);
        abortSignal.addEventListener('abort', () => body.destroy(), { once: true });
        return await readBody(body, sizeBytes);
      } catch (thrown) {
        if (isRangeError(thrown)) return new Uint8Array(0);
        throw thrown;
      }
    });
  }

  async put(key: string, body: BucketBody | Uint8Array, signal?: AbortSignal): Promise<void> {
    checkObjectKey(key);
    const sizeBytes = body instanceof Uint8Array ? body.length : body.sizeBytes;
    const partBytes = this.#options.partBytes ?? partBytesOf(sizeBytes);
    if (sizeBytes > partBytes) {
      await this.#putParts(key, body, { sizeBytes, partBytes, signal });
      return;
    }
    const bytes = await readPart(body, 0, sizeBytes);
    const limits = sizeBytes > SMALL_BYTES_MAX ? TRANSFER_LIMITS : REQUEST_LIMITS;
    await this.#request({ key, limits, signal, sizeBytes }, ({ client, sdk }, where, abortSignal) =>
      client.send(new sdk.PutObjectCommand({ ...where, Body: bytes, ContentMD5: md5(bytes) }), {
        abortSignal,
      }),
    );
  }

  async head(key: string, signal?: AbortSignal): Promise<BucketObject | undefined> {
    try {
      const answer = await this.#request({ key, signal }, ({ client, sdk }, where, abortSignal) =>
        client.send(new sdk.HeadObjectCommand(where), { abortSignal }),
      );
      return { key, sizeBytes: answer.ContentLength ?? 0 };
    } catch (thrown) {
      if (thrown instanceof StarlingError && thrown.id === 'bucket.not_found') return undefined;
      throw thrown;
    }
  }

  async list(options: BucketListOptions, signal?: AbortSignal): Promise<BucketPage> {
    const { bucket, prefix } = this.#options.location;
    const input = {
      Bucket: bucket,
      Prefix: prefix + options.prefix,
      MaxKeys: Math.min(options.countMax, PAGE_MAX),
      ...(options.delimiter === undefined ? {} : { Delimiter: options.delimiter }),
      ...(options.page === undefined ? {} : { ContinuationToken: options.page }),
    };
    const answer = await this.#request(
      { key: options.prefix, signal, isListing: true },
      ({ client, sdk }, _, abortSignal) =>
        client.send(new sdk.ListObjectsV2Command(input), { abortSignal }),
    );
    const objects: BucketObject[] = [];
    for (const { Key: key, Size: sizeBytes } of answer.Contents ?? []) {
      // A key that ends in '/' is a directory that some tool made: no object of ours.
      if (key === undefined || key.endsWith('/')) continue;
      objects.push({ key: key.slice(prefix.length), sizeBytes: sizeBytes ?? 0 });
    }
    const prefixes = (answer.CommonPrefixes ?? []).map(({ Prefix: found = '' }) =>
      found.slice(prefix.length),
    );
    return { objects, prefixes, next: answer.NextContinuationToken };
  }

  async delete(key: string, signal?: AbortSignal): Promise<void> {
    try {
      await this.#request({ key, signal }, ({ client, sdk }, where, abortSignal) =>
        client.send(new sdk.DeleteObjectCommand(where), { abortSignal }),
      );
    } catch (thrown) {
      if (!(thrown instanceof StarlingError && thrown.id === 'bucket.not_found')) throw thrown;
    }
  }

  async close(): Promise<void> {
    const opened = await this.#opening?.catch(() => undefined);
    opened?.client.destroy();
  }

  async #putParts(
    key: string,
    body: BucketBody | Uint8Array,
    upload: {
      readonly sizeBytes: number;
      readonly partBytes: number;
      readonly signal: AbortSignal | undefined;
    },
  ): Promise<void> {
    const { partBytes, signal, sizeBytes } = upload;
    const { UploadId } = await this.#request(
      { key, signal, sizeBytes },
      ({ client, sdk }, where, abortSignal) =>
        client.send(new sdk.CreateMultipartUploadCommand(where), { abortSignal }),
    );
    assert(UploadId !== undefined, 's3: an upload without an id');
    const limits = TRANSFER_LIMITS;
    try {
      const parts: { PartNumber: number; ETag: string }[] = [];
      for (let offset = 0; offset < sizeBytes; offset += partBytes) {
        const bytes = await readPart(body, offset, Math.min(partBytes, sizeBytes - offset));
        const part = { UploadId, PartNumber: parts.length + 1, ContentMD5: md5(bytes) };
        const { ETag = '' } = await this.#request(
          { key, limits, signal, sizeBytes },
          ({ client, sdk }, where, abortSignal) =>
            client.send(new sdk.UploadPartCommand({ ...where, ...part, Body: bytes }), {
              abortSignal,
            }),
        );
        parts.push({ PartNumber: part.PartNumber, ETag });
      }
      await this.#complete(key, UploadId, parts, upload);
    } catch (thrown) {
      // The caller's signal may have aborted; what was uploaded is taken back all the same.
      await this.#request({ key, signal: undefined }, ({ client, sdk }, where, abortSignal) =>
        client.send(new sdk.AbortMultipartUploadCommand({ ...where, UploadId }), { abortSignal }),
      ).catch(() => undefined); // the store's own rules remove it later
      throw thrown;
    }
  }

  /** Completing may be answered late or with an error and be done: then the object has the right size. */
  async #complete(
    key: string,
    UploadId: string,
    Parts: { PartNumber: number; ETag: string }[],
    { signal, sizeBytes }: { readonly sizeBytes: number; readonly signal: AbortSignal | undefined },
  ): Promise<void> {
    const limits = TRANSFER_LIMITS;
    try {
      await this.#request(
        { key, limits, signal, sizeBytes },
        ({ client, sdk }, where, abortSignal) => {
          const input = { ...where, UploadId, MultipartUpload: { Parts } };
          return client.send(new sdk.CompleteMultipartUploadCommand(input), { abortSignal });
        },
      );
    } catch (thrown) {
      const found = await this.head(key, signal).catch(() => undefined);
      if (found?.sizeBytes !== sizeBytes) throw thrown;
    }
  }

  async #request<Result>(
    call: {
      readonly key: string;
      readonly signal: AbortSignal | undefined;
      readonly limits?: AttemptLimits;
      readonly sizeBytes?: number;
      readonly isListing?: boolean;
    },
    work: (
      opened: { readonly sdk: Sdk; readonly client: S3Client },
      where: { readonly Bucket: string; readonly Key: string },
      abortSignal: AbortSignal,
    ) => Promise<Result>,
  ): Promise<Result> {
    const { key, signal, sizeBytes } = call;
    if (call.isListing !== true) checkObjectKey(key);
    const { clock, limits = call.limits ?? REQUEST_LIMITS, location, random } = this.#options;
    const opened = await this.#open();
    const where = { Bucket: location.bucket, Key: location.prefix + key };
    const judge = (thrown: unknown): { error: StarlingError; isRetryable: boolean } => {
      const error = s3Error({ bucket: this.name, key }, thrown, sizeBytes);
      return { error, isRetryable: error.retryable };
    };
    return attempts({ ...limits, clock, random, signal, judge }, (abortSignal) =>
      work(opened, where, abortSignal),
    );
  }

  #open(): Promise<{ readonly sdk: Sdk; readonly client: S3Client }> {
    const { endpoint, isPathStyle, region } = this.#options.location;
    this.#opening ??= import('@aws-sdk/client-s3').then((sdk) => {
      const client = new sdk.S3Client({
        region,
        forcePathStyle: isPathStyle,
        maxAttempts: 1,
        // Stores other than Amazon's take neither the newer checksums nor bodies with trailers.
        requestChecksumCalculation: 'WHEN_REQUIRED',
        responseChecksumValidation: 'WHEN_REQUIRED',
        requestHandler: {
          connectionTimeout: CONNECT_TIMEOUT_MS,
          httpAgent: { keepAlive: true, maxSockets: SOCKETS_MAX },
          httpsAgent: { keepAlive: true, maxSockets: SOCKETS_MAX },
        },
        ...(endpoint === undefined ? {} : { endpoint }),
      });
      return { sdk, client };
    });
    return this.#opening;
  }
}

function partBytesOf(sizeBytes: number): number {
  return Math.max(PART_BYTES_MIN, Math.ceil(sizeBytes / PARTS_MAX));
}

async function readPart(
  body: BucketBody | Uint8Array,
  offset: number,
  byteCount: number,
): Promise<Uint8Array> {
  if (body instanceof Uint8Array) return body.subarray(offset, offset + byteCount);
  const bytes = byteCount === 0 ? new Uint8Array(0) : await body.read(offset, byteCount);
  if (bytes.length === byteCount) return bytes;
  throw new Error('the source became shorter while it was read');
}

function md5(bytes: Uint8Array): string {
  return createHash('md5').update(bytes).digest('base64');
}

type BodyStream = AsyncIterable<Uint8Array> & { destroy(): void };

/** The body of an answer to a ranged read, once its head says what was asked for. */
function checkAnswer(
  answer: {
    readonly Body?: unknown;
    readonly ContentLength?: number | undefined;
    readonly ContentRange?: string | undefined;
  },
  offset: number,
  byteCount: number,
): { readonly body: BodyStream; readonly sizeBytes: number } {
  const body = answer.Body as BodyStream; // what the SDK gives on Node
  const range = /^bytes (\d+)-(\d+)\//.exec(answer.ContentRange ?? '');
  const from = Number(range?.[1] ?? 0);
  const sizeBytes =
    range === null ? (answer.ContentLength ?? Infinity) : Number(range[2]) - from + 1;
  if (from === offset && sizeBytes <= byteCount) return { body, sizeBytes };
  body.destroy(); // it may be all of a large object
  throw new Error(
    `bytes ${offset} to ${offset + byteCount - 1} were asked for, ${sizeBytes} from ${from} answered`,
  );
}

/** All of a body, which must have exactly so many bytes. */
async function readBody(body: AsyncIterable<Uint8Array>, sizeBytes: number): Promise<Uint8Array> {
  const bytes = new Uint8Array(sizeBytes);
  let at = 0;
  for await (const part of body) {
    if (at + part.length > sizeBytes) throw new Error('the answer is longer than it said');
    bytes.set(part, at);
    at += part.length;
  }
  if (at < sizeBytes) throw new Error(`the answer broke off after ${at} of ${sizeBytes} bytes`);
  return bytes;
}
