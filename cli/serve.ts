/**
 * `starling serve`: reads the configuration, starts a node on this machine, serves HTTP, and stops it on
 * a signal: gracefully on the first, at once on the second.
 */
import { readFileSync } from 'node:fs';
import { availableParallelism, hostname, networkInterfaces } from 'node:os';
import { resolve } from 'node:path';
import { WARM_UP_JOB, warmUpSteps } from '../actors/querier/warm-up.ts';
import { type HttpServer, startHttpServer } from '../http/server.ts';
import { assert } from '../model/assert.ts';
import { StarlingError } from '../model/errors.ts';
import { createNodePlatform } from '../platform/node/index.ts';
import { type BucketLocation, parseBucketUrl } from '../platform/bucket/url.ts';
import type { Platform } from '../platform/platform.ts';
import { LoopMeter } from '../platform/node/loop-meter.ts';
import { createGrpcStreams } from '../proto/grpc-streams.ts';
import type { ServeArguments } from './command-line.ts';
import { CONFIG_FILE_BYTES_MAX, type Config, type ConfigProblem, readConfig } from './config.ts';
import { type EndKind, startNode } from './node.ts';
import type { LoopFigures } from './node-metrics.ts';
import { printConfig } from './print-config.ts';

export const EXIT_FAILED = 1;
export const EXIT_USAGE = 2;
/** Nothing is wrong: started again on the same data directory, the node goes on. */
export const EXIT_RESTART = 3;
const WORKER_QUEUE_MAX = 1000;
const STOP_TIMEOUT_MS = 30_000;
/** What requests in flight are given when the node stops. */
const DRAIN_TIMEOUT_MS = 10_000;
const KEY_BYTES = 32;

export async function serve(given: ServeArguments, version: string): Promise<void> {
  const config = loadConfig(given);
  if (given.printConfig) {
    process.stdout.write(printConfig(config));
    return;
  }
  const platform = await createPlatform(config);
  const meter = new LoopMeter();
  // What ends the node while it starts ends it as soon as it can be stopped.
  const ended: { readonly why: string; readonly kind: EndKind }[] = [];
  let onEnd = (why: string, kind: EndKind): void => void ended.push({ why, kind });
  let http: HttpServer | undefined;
  const node = await startNode({
    platform,
    config,
    dataDirectory: resolve(config.dataDirectory),
    zone: config.zone ?? hostname(),
    advertise: {
      http: advertised('--advertise.http', config.advertiseHttp, config.httpListen),
      grpc: advertised('--advertise.grpc', config.advertiseGrpc, config.grpcListen),
      gossip: advertised('--advertise.gossip', config.advertiseGossip, config.gossipListen),
    },
    secrets: config.clusterKeyFile === undefined ? [] : [readKey(config.clusterKeyFile)],
    version,
    readLoop: () => readLoop(meter),
    onEnd: (why, kind) => onEnd(why, kind),
    serveHttp: async (api) => {
      const { httpListen: listen, multitenancy } = config;
      const shared = { clock: platform.clock, parseDate: Date.parse, version };
      http = await startHttpServer({ api, listen, multitenancy, ...shared });
      return http.address;
    },
  }).catch(async (error: unknown) => {
    http?.destroy();
    await http?.close();
    await platform.workers.close();
    throw error;
  });
  platform.log.info('listening', { http: http?.address });
  if (config.warmsUp) void warmUp(platform);
  let stopping: Promise<void> | undefined;
  const stop = async (why: string, exitCode: number): Promise<void> => {
    platform.log.info('stopping', { why });
    setTimeout(() => process.exit(EXIT_FAILED), STOP_TIMEOUT_MS).unref();
    const drained = http?.drain(DRAIN_TIMEOUT_MS);
    await node.stop(() => drained ?? Promise.resolve());
    const closed = http?.close();
    http?.destroy();
    await closed;
    await platform.workers.close();
    process.exit(exitCode);
  };
  // What ends the node once it stops changes nothing: only a second signal does.
  onEnd = (why, kind) => {
    stopping ??= stop(why, kind === 'restart' ? EXIT_RESTART : EXIT_FAILED);
  };
  for (const { kind, why } of ended.slice(0, 1)) onEnd(why, kind);
  onSignals((signal) => {
    stopping ??= stop(signal, 0);
  });
}

/** This machine, as the configuration has it. */
function createPlatform(config: Config): Promise<Platform> {
  return createNodePlatform({
    bucket: bucketOf(config),
    logLevel: config.logLevel,
    rpc: createGrpcStreams(),
    workers: {
      threads: Math.max(1, availableParallelism() - 1),
      jobsModule: new URL('./jobs.js', import.meta.url),
      queueMax: WORKER_QUEUE_MAX,
    },
  });
}

/** Calls back at the first signal to stop; the second one ends the process. */
function onSignals(first: (signal: string) => void): void {
  let signals = 0;
  for (const signal of ['SIGINT', 'SIGTERM'] as const)
    process.on(signal, () => {
      if (++signals > 1) process.exit(EXIT_FAILED);
      first(signal);
    });
}

/** In the background: requests that come meanwhile are answered between its steps. */
async function warmUp({ clock, log, workers }: Platform): Promise<void> {
  const steps = async (): Promise<void> => {
    for (const _ of warmUpSteps()) await new Promise<void>((resolve) => clock.nextTurn(resolve));
  };
  try {
    await Promise.all([workers.run(WARM_UP_JOB, {}), steps()]);
  } catch (error) {
    log.debug('warm-up ended early', { error: String(error) }); // stopped, or queries came first
  }
}

function readLoop(meter: LoopMeter): LoopFigures {
  const { delayMs, sliceCpuMs } = meter.read();
  const { max = Number.NaN, p99 = Number.NaN } = sliceCpuMs ?? {};
  return { delayP99Ms: delayMs.p99, delayMaxMs: delayMs.max, sliceP99Ms: p99, sliceMaxMs: max };
}

/** The configuration, or exit 2 with everything that is wrong. */
function loadConfig({ configFile, flags }: ServeArguments): Config {
  let file: { readonly name: string; readonly bytes: Uint8Array } | undefined;
  if (configFile !== undefined) {
    try {
      file = {
        name: configFile,
        bytes: readFileSync(configFile).subarray(0, CONFIG_FILE_BYTES_MAX + 1),
      };
    } catch (error) {
      fail([
        { where: '--config.file', why: error instanceof Error ? error.message : 'cannot be read' },
      ]);
    }
  }
  const result = readConfig({
    ...(file === undefined ? {} : { file }),
    environment: process.env,
    flags,
  });
  if ('problems' in result) fail(result.problems);
  return result.config;
}

function fail(problems: readonly ConfigProblem[]): never {
  for (const { where, why } of problems) process.stderr.write(`${where}: ${why}\n`);
  process.exit(EXIT_USAGE);
}

/** The bucket that was named, or a directory in the data directory. */
function bucketOf({ bucket, dataDirectory }: Config): BucketLocation {
  const local = { kind: 'file', directory: `${resolve(dataDirectory)}/bucket` } as const;
  const location = bucket === undefined ? local : parseBucketUrl(bucket);
  assert(typeof location === 'object', 'the bucket URL was checked');
  return location;
}

/** What others are told: as configured, or the listen address, or this machine's private address. */
function advertised(flag: string, configured: string | undefined, listen: string): string {
  if (configured !== undefined) return configured;
  const at = listen.lastIndexOf(':');
  const host = listen.slice(0, at);
  if (host !== '0.0.0.0' && host !== '[::]') return listen;
  const found = Object.values(networkInterfaces())
    .flatMap((addresses) => addresses ?? [])
    .find(({ address, family, internal }) => family === 'IPv4' && !internal && isPrivate(address));
  if (found === undefined) {
    const why = `${listen} is every address and this machine has no private one: say which others should use`;
    throw new StarlingError('config.invalid', { where: flag, why });
  }
  return `${found.address}${listen.slice(at)}`;
}

function isPrivate(address: string): boolean {
  return /^(10\.|192\.168\.|172\.(1[6-9]|2\d|3[01])\.)/.test(address);
}

function readKey(path: string): Uint8Array {
  const where = '--cluster.key-file';
  let text: string;
  try {
    text = readFileSync(path, 'latin1').trim();
  } catch (error) {
    throw new StarlingError('config.invalid', { where, why: `cannot read ${path}` }, error);
  }
  const key = Buffer.from(text, 'base64');
  if (key.length === KEY_BYTES) return key;
  const why = `${path} must hold ${KEY_BYTES} random bytes in base64, it holds ${key.length}`;
  throw new StarlingError('config.invalid', { where, why });
}
