/**
 * Whose clock is wrong? Pure: from how far the others' wall clocks are from this one to a word.
 *
 *   offsets (theirs less ours)   0 ── ours      most of all, this one counted, agree with each other
 *   ──────●●──────────────────────○─────►       and not with this one: ours is wrong
 *
 * Where nobody has a majority (two nodes that differ) it is disputed: one of them is wrong.
 */

export type ClockVerdict =
  /** How far the majority's clock is ahead of ours; negative: ours is ahead. */
  | { readonly kind: 'wrong'; readonly byMs: number }
  | { readonly kind: 'disputed' }
  | { readonly kind: 'right' };

/** `offsetsMs`: of the others that answered. Nobody to ask: a node alone has nothing but its own clock. */
export function clockVerdict(offsetsMs: readonly number[], limitMs: number): ClockVerdict {
  const count = offsetsMs.length + 1;
  const near = offsetsMs.filter((offsetMs) => Math.abs(offsetMs) <= limitMs).length + 1;
  if (near * 2 > count) return { kind: 'right' };
  const sorted = [...offsetsMs].sort((a, b) => a - b);
  for (let from = 0, to = 0; to < sorted.length; to++) {
    while (sorted[to]! - sorted[from]! > 2 * limitMs) from++;
    const agreeing = to - from + 1;
    if (agreeing * 2 > count) return { kind: 'wrong', byMs: sorted[(from + to) >> 1]! };
  }
  return { kind: 'disputed' };
}
