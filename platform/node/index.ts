/** The real platform: everything a node needs of this machine. */
import type { BucketLocation } from '../bucket/url.ts';
import type { Platform, RpcStreams } from '../platform.ts';
import { openBucket } from './bucket/open.ts';
import { createNodeCiphers } from './ciphers.ts';
import { createNodeClock } from './clock.ts';
import { createNodeDatagrams } from './datagrams.ts';
import { createNodeDisk } from './disk.ts';
import { type LogLevel, createNodeLog } from './log.ts';
import { createNodeRandom } from './random.ts';
import { type WorkersOptions, createNodeWorkers } from './workers.ts';

export interface NodePlatformOptions {
  readonly logLevel: LogLevel;
  /** The gRPC side lives with the wire formats. */
  readonly rpc: RpcStreams;
  readonly workers: WorkersOptions;
  readonly bucket: BucketLocation;
}

/** Throws `bucket.*` when the bucket is a directory that cannot be used. */
export async function createNodePlatform(options: NodePlatformOptions): Promise<Platform> {
  const clock = createNodeClock();
  const random = createNodeRandom();
  const disk = createNodeDisk();
  return {
    clock,
    random,
    ciphers: createNodeCiphers(),
    disk,
    bucket: await openBucket(options.bucket, { clock, disk, random }),
    datagrams: createNodeDatagrams(),
    rpc: options.rpc,
    workers: createNodeWorkers(options.workers),
    log: createNodeLog(options.logLevel),
  };
}
