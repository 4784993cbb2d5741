/** How names, metadata and exemplars travel: msgpack arrays, in frames of a bounded size. */
import { packControl } from '../runtime/index.ts';
import type { SeriesExemplars } from '../../storage/index.ts';
import type { ToldMetadata } from './metadata-store.ts';

/** A frame is cut before it holds more items, or more UTF-16 units. */
const ITEMS_PER_FRAME = 5000;
const UNITS_PER_FRAME = 64 * 1024;
export const EXEMPLARS_PER_FRAME = 512;
/** Of its time and value. */
const EXEMPLAR_UNITS = 18;

export function nameFrames(all: readonly string[]): Generator<Uint8Array, void> {
  return frames(all, (name) => name.length);
}

/** Each entry as [name, type, help, unit, age in ms]. */
export function metadataFrames(all: readonly ToldMetadata[]): Generator<Uint8Array, void> {
  const rows = all.map((one) => [one.name, one.type, one.help, one.unit, one.ageMs] as const);
  return frames(rows, ([name, , help, unit]) => name.length + help.length + unit.length);
}

/** Each series as [labels, times, values, labels of each]; of long ones a part, and the rest after it. */
export function exemplarFrames(all: readonly SeriesExemplars[]): Generator<Uint8Array, void> {
  const rows = all.flatMap(({ labels, series, timestamps, values }) =>
    Array.from({ length: Math.ceil(labels.length / EXEMPLARS_PER_FRAME) }, (_, i) => {
      const [from, to] = [i * EXEMPLARS_PER_FRAME, (i + 1) * EXEMPLARS_PER_FRAME];
      const parts = [timestamps.slice(from, to), values.slice(from, to)] as const;
      return [series, ...parts, labels.slice(from, to)] as const;
    }),
  );
  return frames(rows, ([series, , , labels]) =>
    labels.reduce((sum, text) => sum + text.length + EXEMPLAR_UNITS, series.length),
  );
}

function* frames<Item>(
  all: readonly Item[],
  unitsOf: (item: Item) => number,
): Generator<Uint8Array, void> {
  for (let from = 0, to = 0; from < all.length; from = to) {
    let units = 0;
    while (to < all.length && to - from < ITEMS_PER_FRAME && units < UNITS_PER_FRAME)
      units += unitsOf(all[to++]!);
    yield packControl(all.slice(from, to));
  }
}
