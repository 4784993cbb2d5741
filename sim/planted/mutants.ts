/**
 * Planted bugs inside the product: a line of a compiled file reads otherwise, in a copy of `dist/` that only
 * `npm run sim:mutants` makes and runs. Nothing that ships knows of them. Each names the text that is
 * replaced; it stands there exactly once, so that a change of the product is told to whoever makes it.
 */
export interface Edit {
  readonly from: string;
  readonly to: string;
}

export interface Mutant {
  readonly sentence: string;
  /** In `dist/`. */
  readonly file: string;
  readonly edits: readonly Edit[];
  /** What the story needs, so that the bug can show: fault kinds; any, when it is not said. */
  readonly faults?: readonly string[];
  /** Which story finds it: that of whole clusters, of one directory, of blocks, or of blocks and their ages. */
  readonly story?: 'ages' | 'compaction' | 'storage';
  /** Clusters of this shape, for some minutes. */
  readonly shape?: 'deletion';
}

const CUTS = ['flush', 'restart', 'restart-all', 'kill'];
const POWER = ['power', 'restart-all', 'torn-power', 'kill'];

export const MUTANTS: Readonly<Record<string, Mutant>> = {
  'ages-ignored': {
    sentence: 'blocks are never removed for their age',
    file: 'storage/compact/clean.js',
    edits: [{ from: 'retentionMs > 0 && maxTimeMs', to: 'retentionMs < 0 && maxTimeMs' }],
    story: 'ages',
  },
  'aggregates-beside-samples': {
    sentence: 'aggregates are read although samples of their time are read as well',
    file: 'actors/querier/choose-blocks.js',
    edits: [{ from: 'near.every((other) => isIn(other, block))', to: 'near.length >= 0' }],
    story: 'ages',
  },
  'ack-before-durable': {
    sentence: 'an ingester acknowledges before its log is durable',
    file: 'actors/ingester/actor.js',
    edits: [{ from: '[tsdb.durable(), noteWrite()]', to: '[noteWrite()]' }],
    faults: POWER,
  },
  'ack-before-quorum': {
    sentence: 'a push is acknowledged when the first replica has it',
    file: 'actors/distributor/quorum.js',
    edits: [
      { from: 'acks >= tally.quorum', to: 'acks >= 1' },
      { from: 'count < quorum', to: 'count < 1' },
    ],
  },
  'ages-by-first-sample': {
    sentence: 'blocks are removed when their first sample is past the retention',
    file: 'storage/compact/clean.js',
    edits: [
      {
        from: 'filter(({ id, maxTimeMs, resolutionMs }) =>',
        to: 'filter(({ id, minTimeMs: maxTimeMs, resolutionMs }) =>',
      },
    ],
    story: 'ages',
  },
  'block-border': {
    sentence: 'a block that is cut ends a millisecond early',
    file: 'storage/tenant-blocks.js',
    edits: [{ from: 'maxTimeMs: window.endMs - 1 };', to: 'maxTimeMs: window.endMs - 2 };' }],
    faults: CUTS,
  },
  'blocks-show-deleted': {
    sentence: 'what was deleted is read from local blocks',
    file: 'storage/tenant-read.js',
    edits: [
      {
        from: 'blockFrames(source, { ...request, deletions }, block, hints)',
        to: 'blockFrames(source, { ...request, deletions: [] }, block, hints)',
      },
    ],
    shape: 'deletion',
  },
  'boot-not-counted': {
    sentence: 'a boot does not count itself',
    file: 'membership/identity.js',
    edits: [{ from: 'bootCounter: known.bootCounter + 1', to: 'bootCounter: known.bootCounter' }],
  },
  'cancelled-stays-hidden': {
    sentence: 'a request that was cancelled stays in force',
    file: 'storage/deletion/requests.js',
    edits: [
      { from: "filter((entry) => stateOf(entry) !== 'cancelled')", to: 'filter(() => true)' },
    ],
    shape: 'deletion',
  },
  'checkpoint-drops-series': {
    sentence: 'a checkpoint leaves out some living series',
    file: 'storage/tsdb.js',
    edits: [
      { from: 'alive.has(ref), minTimeMs', to: '(alive.has(ref) && ref % 3 > 0), minTimeMs' },
    ],
    story: 'storage',
  },
  'cut-before-final': {
    sentence: 'what was deleted is cut out of blocks while the request can be cancelled',
    file: 'storage/deletion/requests.js',
    edits: [
      {
        from: 'this.#readAtWallMs >= entry.request.createdAtMs + cancelPeriodMs + marginMs',
        to: 'true',
      },
      { from: 'clock.monotonicMs() - entry.knownSinceMs >= knownMs', to: 'true' },
    ],
    shape: 'deletion',
  },
  'cut-keeps-all': {
    sentence: 'a block that is made without deleted samples has them',
    file: 'storage/compact/merge.js',
    edits: [{ from: 'await cursor.open(deletions)', to: 'await cursor.open([])' }],
    shape: 'deletion',
  },
  'cut-takes-more': {
    sentence: 'a block is made without the seconds after a deletion too',
    file: 'storage/compact/run-job.js',
    edits: [
      {
        from: 'isFinalFor(one, block))),',
        to: 'isFinalFor(one, block))).map((one) => ({ ...one, range: { ...one.range, maxTimeMs: one.range.maxTimeMs + 5000 } })),',
      },
    ],
    shape: 'deletion',
  },
  'damaged-blocks-shipped': {
    sentence: 'a block is shipped although parts of it do not hold their checksums',
    file: 'storage/block/check-block.js',
    edits: [{ from: 'await checkPostings(reader, pacer);', to: 'return reader.meta;' }],
    faults: ['rotten-bits', 'lost-writes', 'misdirected-writes', 'kill', 'flush'],
    shape: 'deletion',
  },
  'deletion-hides-more': {
    sentence: 'a deletion hides the seconds after its range too',
    file: 'storage/deletion/deletion.js',
    edits: [
      {
        from: '.push(part.range)',
        to: '.push({ ...part.range, maxTimeMs: part.range.maxTimeMs + 5000 })',
      },
    ],
    shape: 'deletion',
  },
  'digest-trusted': {
    sentence: 'a replica that tells another digest is not asked for its series',
    file: 'actors/querier/gather.js',
    edits: [{ from: 'isDigest && !sent.has(summary.content)', to: 'isDigest && sent.size < 0' }],
  },
  'digest-unchecked': {
    sentence: 'a read does not mind that an answer knows other instances',
    file: 'actors/querier/gather.js',
    edits: [{ from: 'summary.digest !== options.digest()', to: "summary.digest === ''" }],
    faults: ['scale-out-unheard'],
  },
  'failure-counts': {
    sentence: 'an instance that failed to answer counts as one that answered',
    file: 'actors/querier/gather.js',
    edits: [
      {
        from: 'isComplete(new Set(this.#progress.answers.keys()))',
        to: 'isComplete(new Set([...this.#progress.answers.keys(), ...this.#progress.failures.keys()]))',
      },
    ],
  },
  'exemplars-unlogged': {
    sentence: 'exemplars are in memory only',
    file: 'storage/tsdb.js',
    edits: [
      {
        from: 'this.#exemplars.append(batch, this.#appendBounds(nowMs))',
        to: 'void this.#exemplars.append(batch, this.#appendBounds(nowMs))',
      },
    ],
    faults: ['kill', 'power', 'restart-all', 'restart'],
  },
  'failed-sync-forgiven': {
    sentence: 'a node goes on after a failed fsync',
    file: 'storage/committer.js',
    edits: [{ from: "if (error.id === 'wal.sync_failed')", to: "if (error.id === '')" }],
    faults: ['failing-sync', 'power'],
  },
  'filled-block-is-newest': {
    sentence: 'a block of samples that came late ends what the head has, after a restart',
    file: 'storage/local-blocks.js',
    edits: [{ from: '!meta.hints.includes(HINT_OUT_OF_ORDER)', to: 'meta.hints !== undefined' }],
    faults: ['wipe', 'restart-all', 'restart'],
  },
  'head-shows-deleted': {
    sentence: 'what was deleted is read from the head',
    file: 'storage/tenant-read.js',
    edits: [
      {
        from: 'selectFrames(head, selectors, range, hints, deletions, pacer, loader)',
        to: 'selectFrames(head, selectors, range, hints, [])',
      },
    ],
    shape: 'deletion',
  },
  'late-unlogged': {
    sentence: 'a sample that came out of order is not logged',
    file: 'storage/batch-appender.js',
    edits: [{ from: 'what = APPENDED;', to: 'what = DUPLICATE;' }],
    faults: ['restart-all', 'kill-some'],
  },
  'loss-untold': {
    sentence: 'a log that lost what was durable is repaired and nobody is told',
    file: 'storage/wal/open.js',
    edits: [{ from: 'if (tally.lossCount > 0) {', to: 'if (tally.lossCount < 0) {' }],
    faults: ['rotten-bits', 'lost-writes', 'misdirected-writes', 'kill'],
  },
  'metadata-on-one-is-enough': {
    sentence: 'metadata is acknowledged when one of its owners has it',
    file: 'actors/distributor/metadata-push.js',
    edits: [{ from: 'least >= writeQuorum', to: 'least >= 1' }],
    faults: ['kill', 'kill-some'],
  },
  'marks-of-the-future': {
    sentence: 'what a clock that was ahead marked for deletion waits until that time comes',
    file: 'storage/compact/clean.js',
    edits: [{ from: 'if (!isClockRight)', to: 'if (isClockRight)' }],
    story: 'compaction',
  },
  'merge-loses-newest': {
    sentence: 'a merge leaves out the sample at the end of the range',
    file: 'storage/merge/merge.js',
    edits: [{ from: 'timestamps[to - 1] > maxTimeMs', to: 'timestamps[to - 1] >= maxTimeMs' }],
  },
  'no-directory-sync': {
    sentence: 'a small file is renamed, and its directory is not synced',
    file: 'platform/durable-file.js',
    edits: [{ from: 'await disk.syncDirectory(directory);', to: '' }],
    story: 'storage',
  },
  'older-record-wins': {
    sentence: 'an older record of an instance replaces a newer one',
    file: 'membership/registry/merge.js',
    edits: [
      { from: 'compareInstances(record, known) > 0', to: 'compareInstances(record, known) !== 0' },
    ],
  },
  'one-answer-too-few': {
    sentence: 'a read goes on with one answer less than it needs',
    file: 'membership/ring/read-plan.js',
    edits: [
      { from: 'missing.length <= rule.tolerated', to: 'missing.length <= rule.tolerated + 1' },
    ],
  },
  'refill-fills-nothing': {
    sentence: 'a node that lost its data says that it is filled, and is not',
    file: 'actors/refill/refill.js',
    edits: [{ from: 'await this.#filler.fill(window, oldest);', to: '' }],
    faults: ['wipe', 'kill'],
  },
  'refutation-of-the-past': {
    sentence: 'an instance that is accused does not raise its incarnation over the accusation',
    file: 'membership/swim/merge.js',
    edits: [{ from: 'accusedIncarnation + 1', to: 'accusedIncarnation' }],
    faults: ['pause', 'flapping', 'partition', 'deaf', 'mute'],
  },
  'retention-by-any-clock': {
    sentence: 'blocks of the bucket go by the clock of a node, be it right or wrong',
    file: 'cli/node-bucket.js',
    edits: [
      {
        from: 'deletions.isClockRight ? retentionMsOf(limits, resolutionMs) : 0',
        to: 'retentionMsOf(limits, resolutionMs)',
      },
    ],
    faults: ['clock-day-ahead', 'kill'],
    shape: 'deletion',
  },
  'retention-early': {
    sentence: 'blocks go hours before their time, shipped or not',
    file: 'storage/tenant-blocks.js',
    edits: [
      { from: 'maxTimeMs <= nowMs - retentionMs', to: 'maxTimeMs <= nowMs - 1000' },
      { from: 'if (!mayRemove(id))', to: 'if (id === undefined)' },
    ],
    faults: CUTS,
  },
  'skipped-sync': {
    sentence: 'the committer writes and does not sync',
    file: 'storage/committer.js',
    edits: [{ from: "if (this.mode === 'batch')", to: "if (this.mode === 'never')" }],
    faults: POWER,
  },
  'torn-write-stays': {
    sentence: 'what a failed write left behind is not cut off',
    file: 'storage/wal/segment-writer.js',
    edits: [{ from: 'await file.truncate(this.#goodBytes);', to: '' }],
    faults: ['full-disk', 'flaky-full-disk', 'bad-disk', 'kill-some'],
  },
  'torn-tail-stays': {
    sentence: 'an unfinished record at the end of a log is not cut off',
    file: 'storage/wal/open.js',
    edits: [{ from: 'if (isTorn)\n', to: 'if (isTorn === undefined)\n' }],
    story: 'storage',
  },
  'uncut-stays': {
    sentence: 'of a block and the one made of it without deleted samples the first is kept',
    file: 'storage/compact/plan.js',
    edits: [{ from: '(b.deletions?.length ?? 0) - (a.deletions?.length ?? 0) ||', to: '' }],
    shape: 'deletion',
  },
  'wiped-is-whole': {
    sentence: 'an instance that comes back with another disk counts as whole',
    file: 'membership/lifecycle-records.js',
    edits: [{ from: 'isWiped ? now.wallMs : 0', to: '0' }],
    faults: ['wipe', 'kill'],
  },
};
