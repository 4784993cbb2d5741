/**
 * What the offline commands (`blocks`, `import`, `export`) touch of the world, and what they have in common:
 * where blocks are, whose they are, and how failures become sentences and exit codes.
 */
import { resolve } from 'node:path';
import type { Command } from 'commander';
import { StarlingError } from '../../model/errors.ts';
import { ANONYMOUS_TENANT, type TenantId, parseTenantId } from '../../model/ids.ts';
import { parseBucketUrl } from '../../platform/bucket/url.ts';
import { openBucket } from '../../platform/node/bucket/open.ts';
import { createNodeClock } from '../../platform/node/clock.ts';
import { createNodeDisk } from '../../platform/node/disk.ts';
import { createNodeRandom } from '../../platform/node/random.ts';
import type { Bucket, Clock, Disk, Random } from '../../platform/platform.ts';
import { type BlockId, Pacer, parseBlockId } from '../../storage/tools/index.ts';
import { CommandExit } from '../command-exit.ts';
import { UsageError } from '../query/time.ts';

/** The streams and variables of the process. */
export interface ToolsHost {
  readonly environment: Readonly<Record<string, string | undefined>>;
  readonly fetch: typeof fetch;
  readonly parseDate: (text: string) => number;
  out(text: string): void;
  err(text: string): void;
}

export interface ToolsWorld extends ToolsHost {
  readonly clock: Clock;
  readonly disk: Disk;
  readonly random: Random;
  readonly pacer: Pacer;
}

/** What was said on the command line: strings, switches, and lists of strings. */
export type Given = Readonly<Record<string, boolean | string | readonly string[] | undefined>>;

/** A command failed for a reason that is told: exit code 1. */
export class ToolFailure extends Error {}

/** Runs the work of a command; what it throws becomes a sentence and an exit code. */
export async function runTool(
  host: ToolsHost,
  command: Command,
  work: (world: ToolsWorld, given: Given, words: readonly string[]) => Promise<void>,
): Promise<void> {
  const clock = createNodeClock();
  const world: ToolsWorld = {
    environment: host.environment,
    fetch: host.fetch,
    parseDate: host.parseDate,
    out: (text) => host.out(text),
    err: (text) => host.err(text),
    clock,
    disk: createNodeDisk(),
    random: createNodeRandom(),
    pacer: new Pacer(clock),
  };
  try {
    await work(world, command.opts<Given>(), command.args);
  } catch (thrown) {
    if (thrown instanceof CommandExit) throw thrown;
    const isUsage =
      thrown instanceof UsageError ||
      (thrown instanceof StarlingError && /^(query|tenant)\./.test(thrown.id as string));
    const isTold = isUsage || thrown instanceof ToolFailure || thrown instanceof StarlingError;
    if (!isTold) throw thrown;
    host.err(`starling ${command.parent?.name() ?? ''} ${command.name()}: ${thrown.message}\n`);
    throw new CommandExit(isUsage ? 2 : 1);
  }
}

export function textOf(given: Given, name: string): string | undefined {
  const value = given[name];
  return typeof value === 'string' ? value : undefined;
}

export function textsOf(given: Given, name: string): readonly string[] {
  const value = given[name];
  if (value === undefined || typeof value === 'boolean') return [];
  return typeof value === 'string' ? [value] : value;
}

/** The directory that was named, as an absolute path; undefined: none was. */
export function directoryOf(given: Given, name = 'directory'): string | undefined {
  const text = textOf(given, name);
  return text === undefined ? undefined : resolve(text);
}

/** The bucket that was named, opened; undefined: none was. Throws `UsageError`, `bucket.*`. */
export async function bucketOf(world: ToolsWorld, given: Given): Promise<Bucket | undefined> {
  const url = textOf(given, 'bucket') ?? world.environment['STARLING_BUCKET'];
  if (url === undefined) return undefined;
  const location = parseBucketUrl(url);
  if (typeof location === 'string') throw new UsageError(`--bucket: ${location}`);
  return openBucket(location, world);
}

/** The one tenant a command is about. */
export function tenantOf(world: ToolsWorld, given: Given): TenantId {
  const text = textOf(given, 'tenant') ?? world.environment['STARLING_TENANT'];
  return text === undefined ? ANONYMOUS_TENANT : parseTenantId(text);
}

/** Throws `UsageError` for what is no name of a block. */
export function blockIdOf(text: string): BlockId {
  const id = parseBlockId(text);
  if (id === undefined) {
    throw new UsageError(`'${text.slice(0, 64)}' is not the name of a block (26 characters)`);
  }
  return id;
}
