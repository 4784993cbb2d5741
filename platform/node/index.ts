/** The real platform: everything a node needs of this machine. */
import type { Platform, RpcStreams } from '../platform.ts';
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
}

export function createNodePlatform(options: NodePlatformOptions): Platform {
  return {
    clock: createNodeClock(),
    random: createNodeRandom(),
    ciphers: createNodeCiphers(),
    disk: createNodeDisk(),
    datagrams: createNodeDatagrams(),
    rpc: options.rpc,
    workers: createNodeWorkers(options.workers),
    log: createNodeLog(options.logLevel),
  };
}
