/**
 * What an S3 store and the way to it can answer, as errors of the catalogue:
 *
 *   404 NoSuchKey                          bucket.not_found
 *   401, 403, wrong region, no bucket      bucket.denied        a person must act
 *   413, EntityTooLarge                    bucket.too_large
 *   408, 429, 5xx, network, bad bytes      bucket.unavailable   retried
 */
import { StarlingError } from '../../../model/errors.ts';

export interface ObjectFacts {
  readonly bucket: string;
  readonly key: string;
}

const TOO_LARGE_NAMES = new Set(['EntityTooLarge', 'MaxMessageLengthExceeded']);
const RETRIED_STATUS = new Set([408, 409, 425, 429]);
const HINTS: Readonly<Record<string, string>> = {
  CredentialsProviderError:
    'there are no credentials: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY',
  NoSuchBucket: 'there is no such bucket: make it first',
  PermanentRedirect: 'the bucket is in another region: set region= in the URL',
  AuthorizationHeaderMalformed: 'the region is wrong: set region= in the URL',
  RequestTimeTooSkewed: "this machine's clock is off by more than 15 minutes",
};

/** The error for anything a request threw. */
export function s3Error(facts: ObjectFacts, thrown: unknown, sizeBytes = 0): StarlingError {
  if (thrown instanceof StarlingError) return thrown as StarlingError;
  const { message, name, status } = describe(thrown);
  if (
    name === 'NoSuchKey' ||
    (status === 404 && name !== 'NoSuchBucket' && name !== 'NoSuchUpload')
  ) {
    return new StarlingError('bucket.not_found', facts, thrown);
  }
  if (status === 413 || TOO_LARGE_NAMES.has(name)) {
    const size = { bytes: sizeBytes, bytesMax: Math.max(0, sizeBytes - 1) };
    return new StarlingError('bucket.too_large', { ...facts, ...size }, thrown);
  }
  const hint = HINTS[name];
  const why = [hint, name, message].filter((part) => part !== undefined && part !== '').join(': ');
  const isFinal =
    hint !== undefined ||
    (status !== undefined && status >= 300 && status < 500 && !RETRIED_STATUS.has(status));
  const isUploadLost = name === 'NoSuchUpload';
  const id = isFinal && !isUploadLost ? 'bucket.denied' : 'bucket.unavailable';
  return new StarlingError(id, { ...facts, why }, thrown);
}

/** True for an offset past the end. */
export function isRangeError(thrown: unknown): boolean {
  return describe(thrown).status === 416;
}

function describe(thrown: unknown): {
  readonly name: string;
  readonly message: string;
  readonly status: number | undefined;
} {
  const {
    $metadata: metadata,
    message,
    name,
  } = (thrown ?? {}) as {
    // what the SDK's errors have, each checked below
    readonly name?: unknown;
    readonly message?: unknown;
    readonly $metadata?: { readonly httpStatusCode?: unknown };
  };
  const status = metadata?.httpStatusCode;
  return {
    name: typeof name === 'string' && name !== 'Error' ? name : '',
    message: typeof message === 'string' ? message : String(thrown),
    status: typeof status === 'number' ? status : undefined,
  };
}
