/** Opens the bucket that a URL names. */
import { DiskBucket } from '../../bucket/disk-bucket.ts';
import type { BucketLocation } from '../../bucket/url.ts';
import type { Bucket, Clock, Disk, Random } from '../../platform.ts';
import { S3Bucket } from './s3.ts';

/** Throws `bucket.*` when a directory cannot be used; S3 is not asked anything yet. */
export async function openBucket(
  location: BucketLocation,
  seams: { readonly clock: Clock; readonly disk: Disk; readonly random: Random },
): Promise<Bucket> {
  if (location.kind === 's3') return new S3Bucket({ ...seams, location });
  return DiskBucket.open({ ...seams, directory: location.directory });
}
