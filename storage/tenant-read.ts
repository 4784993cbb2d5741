/**
 * Reading a tenant: its local blocks, oldest first, then its head, as one stream of series frames. The
 * reader joins series by fingerprint, so a series may come in several frames. Parts do not overlap but
 * where blocks do (samples that came out of order); there the reader merges by time.
 *
 * `undefined` is a pause: the caller lets the loop turn, and looks whether it is still wanted.
 */
import { type StarlingError, toStarlingError } from '../model/errors.ts';
import type { Selectors } from '../model/matchers.ts';
import type { TimeRange } from '../model/sample.ts';
import type { Clock } from '../platform/platform.ts';
import type { BlockSelection } from './block/block-selection.ts';
import { collectBlockNames, collectBlockValues, selectBlockFrames } from './block/select-block.ts';
import type { Deletion } from './deletion/deletion.ts';
import { deletionsTouching } from './deletion/touching.ts';
import type { MatchMemory } from './deletion/verdicts.ts';
import { ChunkLoader } from './head/chunk-loader.ts';
import type { Head } from './head/head.ts';
import {
  type SelectHints,
  selectFrames,
  selectLabelNames,
  selectLabelSets,
  selectLabelValues,
} from './head/select.ts';
import type { PinnedBlock } from './local-blocks.ts';
import { Pacer } from './pacer.ts';
import type { TenantBlocks, TenantView } from './tenant-blocks.ts';

/** Most small queries are one slice of a head. */
const HEAD_SLICE_MS = 3;

/** What is read. */
export interface ReadSource {
  readonly clock: Clock;
  readonly head: Head;
  readonly blocks: TenantBlocks;
  readonly fingerprint: (labelBytes: Uint8Array, out: Uint32Array) => void;
  readonly deletions: TenantDeletions;
}

/** What was deleted of a tenant; each answer is cheap. */
export interface TenantDeletions {
  /** What no query may show. */
  readonly hidden: () => readonly Deletion[];
  /** What is left out for good: who copies from here to fill its disk gets the rest, which may come back. */
  readonly gone: () => readonly Deletion[];
  /** The node's. */
  readonly memory: MatchMemory;
}

export interface ReadRequest {
  readonly selectors: Selectors;
  readonly range: TimeRange;
}

/** The deletions that can touch a read. */
function touching(
  { deletions }: ReadSource,
  { range, selectors }: ReadRequest,
  hints: SelectHints | undefined,
): readonly Deletion[] {
  const { memory } = deletions;
  const all = hints?.part === undefined ? deletions.hidden() : deletions.gone();
  return deletionsTouching({ deletions: all, memory }, selectors, range);
}

/** Series with their chunks; without `hints`, label sets only. Frames are the caller's. */
export async function* readFrames(
  source: ReadSource,
  request: ReadRequest,
  hints: SelectHints | undefined,
): AsyncGenerator<Uint8Array | undefined, void> {
  const { blocks, head } = source;
  const { selectors } = request;
  const view = blocks.view(request.range);
  const deletions = touching(source, request, hints);
  const settledBeforeMs = hints?.settledBeforeMs;
  // All at once: what is settled may become so meanwhile.
  const wanted =
    settledBeforeMs === undefined
      ? view.blocks
      : view.blocks.filter(({ meta }) => !blocks.isSettled(meta, settledBeforeMs));
  try {
    for (const block of wanted) yield* blockFrames(source, { ...request, deletions }, block, hints);
    if (!hasHead(view)) return;
    const range = view.headRange;
    const pacer = new Pacer(source.clock, undefined, HEAD_SLICE_MS);
    const loader = new ChunkLoader(head, range);
    const frames =
      hints === undefined
        ? selectLabelSets(head, selectors, range, deletions, pacer, loader)
        : selectFrames(head, selectors, range, hints, deletions, pacer, loader);
    for (const frame of checked(view, frames)) {
      if (loader.loading !== undefined) await loader.loading;
      yield frame;
    }
  } finally {
    view.end();
  }
}

/** The frames of one block; damage that is met is noted before it is thrown. */
async function* blockFrames(
  source: ReadSource,
  request: ReadRequest & Pick<BlockSelection, 'deletions'>,
  block: PinnedBlock,
  hints: SelectHints | undefined,
): AsyncGenerator<Uint8Array | undefined, void> {
  try {
    const { done, reader } = await block.read();
    try {
      yield* selectBlockFrames(selectionOf(source, request, reader), hints);
    } finally {
      done();
    }
  } catch (thrown) {
    throw noted(block, thrown);
  }
}

function noted(block: PinnedBlock, thrown: unknown): StarlingError {
  const error = toStarlingError(thrown);
  if (error.id === 'block.corrupt') block.noteDamage(error);
  return error;
}

/** Names of labels that matching series have, each once, in no order. */
export function readLabelNames(
  source: ReadSource,
  request: ReadRequest,
): AsyncGenerator<undefined, readonly string[]> {
  return collect(source, request, {
    ofBlock: (selection, found) => collectBlockNames(selection, found),
    ofHead: (range) => selectLabelNames(source.head, request.selectors, range),
  });
}

/** Values of one label that matching series have, each once, in no order. */
export function readLabelValues(
  source: ReadSource,
  request: ReadRequest,
  name: string,
): AsyncGenerator<undefined, readonly string[]> {
  return collect(source, request, {
    ofBlock: (selection, found) => collectBlockValues(selection, name, found),
    ofHead: (range) => selectLabelValues(source.head, name, request.selectors, range),
  });
}

interface Collectors {
  readonly ofBlock: (selection: BlockSelection, found: Set<string>) => Promise<void>;
  readonly ofHead: (range: TimeRange) => Generator<undefined, readonly string[]>;
}

async function* collect(
  source: ReadSource,
  request: ReadRequest,
  { ofBlock, ofHead }: Collectors,
): AsyncGenerator<undefined, readonly string[]> {
  const view = source.blocks.view(request.range);
  try {
    const found = new Set<string>();
    for (const block of view.blocks) {
      await useBlock(block, (reader) => ofBlock(selectionOf(source, request, reader), found));
      yield undefined;
    }
    if (!hasHead(view)) return [...found];
    const inHead = yield* checked(view, ofHead(view.headRange));
    if (found.size === 0) return inHead;
    for (const text of inHead) found.add(text);
    return [...found];
  } finally {
    view.end();
  }
}

type Reader = Awaited<ReturnType<PinnedBlock['read']>>['reader'];

async function useBlock(block: PinnedBlock, use: (reader: Reader) => Promise<void>): Promise<void> {
  try {
    const { done, reader } = await block.read();
    try {
      await use(reader);
    } finally {
      done();
    }
  } catch (thrown) {
    throw noted(block, thrown);
  }
}

function selectionOf(
  { clock, fingerprint }: ReadSource,
  { deletions, range, selectors }: ReadRequest & Pick<BlockSelection, 'deletions'>,
  reader: Reader,
): BlockSelection {
  return { reader, selectors, range, fingerprint, deletions, pacer: new Pacer(clock) };
}

function hasHead({ headRange }: TenantView): boolean {
  return headRange.minTimeMs <= headRange.maxTimeMs;
}

/** The slices of a cursor over the head, while what it reads is there. */
function* checked<Item, Result>(
  { read }: TenantView,
  cursor: Generator<Item, Result>,
): Generator<Item, Result> {
  try {
    for (;;) {
      read.check();
      const step = cursor.next();
      if (step.done === true) return step.value;
      yield step.value;
    }
  } finally {
    cursor.return(undefined as Result); // what it holds in the head is given back; the value is not used
  }
}
