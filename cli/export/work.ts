/** The work of `starling export`. */
import { resolve } from 'node:path';
import type { TimeRange } from '../../model/sample.ts';
import { parseSelector } from '../../promql/index.ts';
import {
  type ExportSource,
  bucketPlace,
  directoryPlace,
  exportBlocks,
  exportFromBlocks,
  exportText,
} from '../../storage/tools/index.ts';
import { UsageError, readDuration, readTime } from '../query/time.ts';
import {
  type Given,
  ToolFailure,
  type ToolsWorld,
  bucketOf,
  directoryOf,
  tenantOf,
  textOf,
} from '../tools/world.ts';
import { exportFromNode } from './node-source.ts';

const HOUR_MS = 3_600_000;

export async function exportWork(
  world: ToolsWorld,
  given: Given,
  words: readonly string[],
): Promise<void> {
  const format = textOf(given, 'format');
  if (format !== 'openmetrics' && format !== 'blocks') {
    throw new UsageError(`--format: '${format ?? ''}' is not one of openmetrics, blocks`);
  }
  const into = textOf(given, 'into');
  if (format === 'blocks' && into === undefined) {
    throw new UsageError('--into: say where the blocks go');
  }
  const { close, range: known, source } = await openSource(world, given, words);
  try {
    const range = rangeOf(world, given, known);
    if (range === undefined) throw new ToolFailure('there are no blocks');
    if (format === 'openmetrics') await writeText(world, source, range);
    else await writeBlocks(world, source, range, resolve(into ?? ''));
  } finally {
    await close();
  }
}

interface Opened {
  readonly source: ExportSource;
  /** What there is; undefined: nothing. */
  readonly range: TimeRange | undefined;
  readonly close: () => Promise<void>;
}

async function openSource(
  world: ToolsWorld,
  given: Given,
  words: readonly string[],
): Promise<Opened> {
  const selectors = words.map((text) => parseSelector(text));
  const [directory, url] = [directoryOf(given), textOf(given, 'url')];
  const named = [directory, url, textOf(given, 'bucket')].filter((name) => name !== undefined);
  if (named.length > 1) throw new UsageError('name one of --bucket, --directory and --url');
  if (url !== undefined) {
    const base = url.replace(/\/+$/, '') + (textOf(given, 'prefix') ?? '');
    const timeoutMs = readDuration('--timeout', textOf(given, 'timeout') ?? '2m');
    const tenant = textOf(given, 'tenant') ?? world.environment['STARLING_TENANT'];
    const options = {
      url: `${base}/api/v1/read`,
      tenant,
      timeoutMs,
      fetch: world.fetch,
      selectors,
    };
    const nowMs = world.clock.wallMs();
    return {
      source: exportFromNode(options),
      range: { minTimeMs: nowMs - HOUR_MS, maxTimeMs: nowMs },
      close: () => Promise.resolve(),
    };
  }
  if (directory !== undefined) {
    const place = directoryPlace(world.disk, directory);
    const source = await exportFromBlocks(place, selectors, world.pacer);
    return { source, range: source.range, close: () => Promise.resolve() };
  }
  const bucket = await bucketOf(world, given);
  if (bucket === undefined) {
    throw new UsageError('name the source: --bucket URL, --directory DIR or --url URL');
  }
  try {
    const place = await bucketPlace(bucket, tenantOf(world, given));
    const source = await exportFromBlocks(place, selectors, world.pacer);
    const { requests, unreadable } = source.deletions;
    if (requests.length > 0)
      world.err(`without what ${requests.length} requests to delete series name\n`);
    for (const text of unreadable) world.err(`a request to delete series is not read: ${text}\n`);
    return { source, range: source.range, close: () => bucket.close() };
  } catch (thrown) {
    await bucket.close();
    throw thrown;
  }
}

function rangeOf(
  { clock, parseDate }: ToolsWorld,
  given: Given,
  known: TimeRange | undefined,
): TimeRange | undefined {
  const times = { nowMs: clock.wallMs(), parseDate };
  const [start, end] = [textOf(given, 'start'), textOf(given, 'end')];
  const startMs = start === undefined ? known?.minTimeMs : readTime('--start', start, times);
  const endMs = end === undefined ? known?.maxTimeMs : readTime('--end', end, times);
  if (known === undefined || startMs === undefined || endMs === undefined) return undefined;
  if (endMs < startMs) {
    throw new UsageError(`--end: the end (${endMs} ms) lies before the start (${startMs} ms)`);
  }
  return { minTimeMs: startMs, maxTimeMs: endMs };
}

async function writeText(world: ToolsWorld, source: ExportSource, range: TimeRange): Promise<void> {
  const counts = await exportText(source, range, (text) => world.out(text));
  const { histogramCount, sampleCount, staleCount } = counts;
  world.err(`${sampleCount} samples\n`);
  if (staleCount > 0) world.err(`${staleCount} staleness markers left out: text cannot say them\n`);
  if (histogramCount > 0) {
    world.err(`${histogramCount} native histograms left out: --format=blocks holds them\n`);
  }
}

async function writeBlocks(
  world: ToolsWorld,
  source: ExportSource,
  range: TimeRange,
  directory: string,
): Promise<void> {
  await world.disk.makeDirectory(directory);
  const blocks = await exportBlocks(source, range, { ...world, directory });
  for (const { id, stats } of blocks) {
    world.out(`${id} ${stats.seriesCount} series, ${stats.sampleCount} samples\n`);
  }
}
