/**
 * Reading blocks through store-gateways, and knowing that all were read. Each block is asked of the
 * instances that look after it, one after another; what an answer does not name as read is asked of the
 * next one. When a block was read by nobody the read fails: nothing is ever silently left out.
 */
import { StarlingError, toStarlingError } from '../../model/errors.ts';
import type { InstanceId } from '../../model/ids.ts';
import type { Probe } from '../../platform/rare.ts';
import type { BlocksSummary } from '../store-gateway/messages.ts';
import type { QueryBytes } from './byte-budget.ts';
import { isAboutTheRequest } from './gather.ts';

const ATTEMPTS_MAX = 3;
const NAMES_MAX = 5;

export interface GatherBlocksOptions {
  readonly blocks: readonly string[];
  /** Who may be asked for a block, the best first. */
  readonly candidates: (block: string) => readonly InstanceId[];
  /** Asks one instance for some blocks; frames arrive through `onFrame`. */
  readonly ask: (
    instance: InstanceId,
    blocks: readonly string[],
    onFrame: (frame: Uint8Array) => void,
  ) => { readonly done: Promise<BlocksSummary>; cancel(): void };
  /** What all answers of the query together may hold. */
  readonly bytes: QueryBytes;
  readonly probe?: Probe;
}

/** The frames of all blocks. Throws `read.incomplete` when one was read by nobody. */
export async function gatherBlocks(
  options: GatherBlocksOptions,
): Promise<readonly (readonly Uint8Array[])[]> {
  const missing = new Set(options.blocks);
  const reasons = new Set<string>();
  const frames: (readonly Uint8Array[])[] = [];
  for (let attempt = 0; attempt < ATTEMPTS_MAX && missing.size > 0; attempt++) {
    const asks = [...assign(missing, options, attempt)].map(([instance, blocks]) =>
      askOne(options, instance, blocks),
    );
    options.probe?.(attempt === 0 ? 'read.blocks' : 'read.blocks_again');
    for (const answer of await Promise.all(asks)) {
      if (answer.frames.length > 0) frames.push(answer.frames);
      for (const block of answer.blocks) missing.delete(block);
      for (const reason of answer.failures) reasons.add(reason);
    }
  }
  if (missing.size === 0) return frames;
  const names = [...missing].slice(0, NAMES_MAX).join(', ');
  const more = missing.size > NAMES_MAX ? ` and ${missing.size - NAMES_MAX} more` : '';
  const why = reasons.size === 0 ? 'nobody to ask' : [...reasons].slice(0, NAMES_MAX).join('; ');
  const facts = { missing: `any store-gateway for the blocks ${names}${more} (${why})` };
  throw new StarlingError('read.incomplete', { ...facts, tolerated: 0 });
}

/** Who is asked for what this time: the next candidate of each block, from the first one on again. */
function assign(
  missing: ReadonlySet<string>,
  { candidates }: GatherBlocksOptions,
  attempt: number,
): ReadonlyMap<InstanceId, string[]> {
  const asks = new Map<InstanceId, string[]>();
  for (const block of missing) {
    const may = candidates(block);
    const instance = may[attempt % Math.max(1, may.length)];
    if (instance === undefined) continue;
    const blocks = asks.get(instance);
    if (blocks === undefined) asks.set(instance, [block]);
    else blocks.push(block);
  }
  return asks;
}

interface Answer {
  readonly frames: readonly Uint8Array[];
  readonly blocks: readonly string[];
  readonly failures: readonly string[];
}

/** One instance's answer; a failure of its own is an answer without blocks. */
async function askOne(
  { ask, bytes }: GatherBlocksOptions,
  instance: InstanceId,
  blocks: readonly string[],
): Promise<Answer> {
  const frames: Uint8Array[] = [];
  let taken = 0;
  let overBudget = undefined as StarlingError | undefined; // set in a callback
  try {
    const call = ask(instance, blocks, (frame) => {
      if (overBudget !== undefined) return;
      frames.push(frame);
      taken += frame.length;
      try {
        bytes.take(frame.length);
      } catch (thrown) {
        overBudget = toStarlingError(thrown);
        call.cancel();
      }
    });
    const summary = await call.done;
    if (overBudget !== undefined) throw overBudget; // it ended before it was cancelled
    // What was sent of a block that failed is true as far as it goes: another answer completes it.
    return { frames, blocks: summary.blocks, failures: summary.failures };
  } catch (thrown) {
    const error = overBudget ?? toStarlingError(thrown);
    bytes.give(taken);
    if (error === overBudget || isAboutTheRequest(error)) throw error;
    return { frames: [], blocks: [], failures: [`${instance}: ${error.message}`] };
  }
}
