/** How names travel: msgpack arrays, in frames of a bounded size. */
import { packControl } from '../runtime/index.ts';

/** A frame is cut before it holds more names, or more UTF-16 units. */
const NAMES_PER_FRAME = 5000;
const NAME_UNITS_PER_FRAME = 64 * 1024;

export function* nameFrames(all: readonly string[]): Generator<Uint8Array, void> {
  for (let from = 0, to = 0; from < all.length; from = to) {
    let units = 0;
    while (to < all.length && to - from < NAMES_PER_FRAME && units < NAME_UNITS_PER_FRAME)
      units += all[to++]!.length;
    yield packControl(all.slice(from, to));
  }
}
