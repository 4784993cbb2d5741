/**
 * The names of the optimiser's passes. Every one gives an answer that is equal to the bit, its
 * annotations included, and can be left out: tests compare answers with and without them.
 */
export const PASSES = [
  'fold_constants',
  'propagate_matchers',
  'share_expressions',
  'share_fetches',
  'sort_matchers',
] as const;

export type PassName = (typeof PASSES)[number];
