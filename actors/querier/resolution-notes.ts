/**
 * What an answer tells of the aggregates that it was made from: nothing where it is the same as from samples, a
 * note where samples are gone or the query asked for aggregates by name, a warning where it is only near.
 */
import { type WindowValue, resolutionText } from '../../model/window-value.ts';
import type { DownsampledBlock } from '../../storage/index.ts';
import type { SourceResolution } from './choose-blocks.ts';

/** What was read for one selector of a query. */
export interface ResolutionUse {
  readonly chosen: readonly DownsampledBlock[];
  /** Instead of samples that are gone; read unless the query wants samples only. */
  readonly forced: readonly DownsampledBlock[];
  /** Of what is forced, some was read as samples too. */
  readonly isDoubled: boolean;
}

/** What the selector asked for. */
export interface ResolutionWish {
  readonly value?: WindowValue | undefined;
  /** Up to which the answer is the same, or as near as was asked for. */
  readonly resolutionMs?: number | undefined;
}

/** The coarsest resolution that was read; 0: samples only. */
export function resolutionUsedMs({ chosen, forced }: ResolutionUse): number {
  return [...chosen, ...forced].reduce((max, { resolutionMs }) => Math.max(max, resolutionMs), 0);
}

/** The notes about all selectors, each text once. */
export function resolutionNotes(
  uses: readonly ResolutionUse[],
  wishes: readonly ResolutionWish[],
  mode: SourceResolution,
): { readonly warnings: readonly string[]; readonly infos: readonly string[] } {
  const warnings = new Set<string>();
  const infos = new Set<string>();
  for (const [i, use] of uses.entries()) {
    const wish = wishes[i] ?? {};
    if (use.forced.length > 0) tellForced(use, wish, mode, { warnings, infos });
    if (use.chosen.length > 0 && mode !== 'auto') {
      infos.add(
        `aggregates of up to ${resolutionText(resolutionUsedMs(use))} were read, as max_source_resolution says: answers are near where steps and ranges are not multiples of that`,
      );
    }
  }
  return { warnings: [...warnings], infos: [...infos] };
}

function tellForced(
  use: ResolutionUse,
  { resolutionMs = 0, value }: ResolutionWish,
  mode: SourceResolution,
  into: { readonly warnings: Set<string>; readonly infos: Set<string> },
): void {
  const { forced, isDoubled } = use;
  const coarsestMs = resolutionUsedMs({ ...use, chosen: [] });
  const fromMs = forced.reduce((min, one) => Math.min(min, one.minTimeMs), Infinity);
  const toMs = forced.reduce((max, one) => Math.max(max, one.maxTimeMs), -Infinity);
  const gone = `samples from ${fromMs} ms to ${toMs} ms are gone`;
  const of = `aggregates of ${resolutionText(coarsestMs)}`;
  const isSame = forced.every((one) => one.isExact && one.resolutionMs <= resolutionMs);
  if (mode === 'raw') {
    into.warnings.add(`${gone}; there are ${of}, which max_source_resolution=raw leaves out`);
  } else if (isDoubled) {
    into.warnings.add(`${gone}: ${of} were read, and samples of the same time that came later`);
  } else if (value === undefined) {
    into.warnings.add(
      `${gone}: the first and last sample of each ${resolutionText(coarsestMs)} were read, from which the answer cannot be told exactly`,
    );
  } else if (isSame && mode === 'auto') into.infos.add(`${gone}: ${of} were read`);
  else into.warnings.add(`${gone}: ${of} were read, the answer is near`);
}
