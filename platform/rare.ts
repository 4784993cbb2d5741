/**
 * What only a simulator looks at. Probes count that a rare branch ran; oddities are places that may do the
 * unusual and still right thing: a tiny table, a short batch, a cut before its time. A real platform
 * has neither (both are undefined there), so a probe costs one look at a field.
 *
 * Invariant: each name here stands in the product; a night in which one never came up is a failure.
 */
export const PROBES = [
  'auto_forget.done',
  'auto_forget.not_agreed',
  'block.cut_failed',
  'block.filled',
  'block.removed_in_use',
  'block.restored',
  'block.set_aside',
  'compact.cut',
  'compact.emptied',
  'compact.merged_without',
  'cover.began',
  'cover.done',
  'cover.failed',
  'cover.settled',
  'deletion.processed',
  'head.chunks_filed',
  'known_series.emptied',
  'link.asks_lost',
  'link.deadline',
  'link.pushed_back',
  'membership.boot_raised',
  'membership.forget_refused',
  'membership.forgot',
  'membership.nacked',
  'membership.synced_for_ballot',
  'membership.unready',
  'push.labels_again',
  'push.no_quorum',
  'push.refused',
  'push.without_all',
  'query.ahead',
  'read.blocks',
  'read.blocks_again',
  'read.digest_agrees',
  'read.digest_differs',
  'read.hedged',
  'read.incomplete',
  'read.spare_after_failure',
  'read.stranger',
  'read.unjudged',
  'refill.began',
  'refill.done',
  'refill.failed',
  'refill.window_filled',
  'refill.window_hopeless',
  'ship.damaged',
  'ship.done',
  'ship.failed',
  'swim.acks_late',
  'swim.fallback_only_acks',
  'swim.heal_contacts',
  'swim.probes_stalled',
  'swim.push_pulls_failed',
  'swim.refutations',
  'swim.suspicions_started',
  'wal.checkpointed',
  'wal.gap_filled',
  'wal.healed',
  'wal.loss_noted',
  'wal.repaired',
  'wal.sync_failed',
  'wal.torn_length',
  'wal.torn_tail',
  'wal.write_failed',
] as const;

export type ProbeName = (typeof PROBES)[number];

/** Counts that a branch ran; undefined on the real side. */
export type Probe = ((name: ProbeName) => void) | undefined;

/** Places that may be unusual; a seed draws which are, and a life whether they are in it. */
export const ODDITIES = [
  'blocks.early-cut',
  'blocks.late-cut',
  'bucket.tiny-cache',
  'commit.one-at-a-time',
  'head.files-all',
  'known-series.tiny',
  'query.in-worker',
  'query.one-at-a-time',
  'read.hedge-at-once',
  'read.hedge-late',
  'readers.none-idle',
  'refill.small-answers',
  'wal.small-segments',
] as const;

export type Oddity = (typeof ODDITIES)[number];

/** Whether a place is to be unusual now; undefined on the real side: never. */
export type Odd = ((oddity: Oddity) => boolean) | undefined;
