/**
 * Which keys an object may have: paths that mean the same in every store and lead nowhere else on a file
 * system. Every `Bucket` checks each key it is given, so a name out of a listing or a URL is never a way
 * out of the bucket.
 */
import { StarlingError } from '../../model/errors.ts';

const KEY_BYTES_MAX = 900; // S3 has 1024; the rest is for the prefix of a URL
const PART_BYTES_MAX = 255;
/** Where the file-system bucket keeps what is being written. */
export const UPLOADS_DIRECTORY = '.uploading';

/** Throws `bucket.key_invalid`. */
export function checkObjectKey(key: string): void {
  const why = keyProblem(key);
  if (why !== undefined)
    throw new StarlingError('bucket.key_invalid', { key: key.slice(0, 200), why });
}

/** What is wrong with a key, or undefined. */
function keyProblem(key: string): string | undefined {
  if (key === '') return 'it is empty';
  if (Buffer.byteLength(key) > KEY_BYTES_MAX) return `it is longer than ${KEY_BYTES_MAX} bytes`;
  if (/[\u0000-\u001f\u007f\\]/.test(key)) return 'it has a control character or a backslash';
  if (/\p{Surrogate}/u.test(key)) return 'it is not valid Unicode';
  const parts = key.split('/');
  if (parts.includes('')) return "it has an empty part between two '/'";
  if (parts.includes('.') || parts.includes('..')) return "it has a part '.' or '..'";
  if (parts[0] === UPLOADS_DIRECTORY) return `it begins with ${UPLOADS_DIRECTORY}`;
  if (parts.some((part) => Buffer.byteLength(part) > PART_BYTES_MAX)) {
    return `it has a part longer than ${PART_BYTES_MAX} bytes`;
  }
  return undefined;
}
