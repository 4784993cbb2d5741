/**
 * The exemplars of a push plan: each goes with the fingerprint of its series, after the rows, to the replicas
 * of that series. Senders give them series of their own that have no samples, so they are no rows; each is
 * counted like one behind them, and needs its quorum.
 *
 * Exemplars never fail a request: what does not hold is dropped and counted, as in Prometheus.
 */
import { toStarlingError } from '../../model/errors.ts';
import { decodeExemplarMessage } from '../../model/wire/exemplar-message.ts';
import type { TurnQueue } from '../../platform/turn-queue.ts';
import type { Discards } from './discards.ts';
import { findKnownSeries } from './known-series.ts';
import { EXEMPLAR_COST, type PushPlan, learnSeries, openChunk, placeSeries } from './push-plan.ts';

/** Checking so many takes about a millisecond. */
const EXEMPLARS_PER_SLICE = 256;

/** Adds the exemplars of the request to a plan whose series are all routed, in slices. */
export async function planExemplars(
  plan: PushPlan,
  { discards, turns }: { readonly discards: Discards; readonly turns: TurnQueue },
): Promise<void> {
  for (let i = 0; i < plan.columns.exemplarCount; i++) {
    if (i % EXEMPLARS_PER_SLICE === EXEMPLARS_PER_SLICE - 1) await turns.again();
    const why = planExemplar(plan, i);
    if (why !== undefined) discards.exemplar(why);
  }
}

type Drop = Parameters<Discards['exemplar']>[0];

/** Throws `protobuf.corrupt` for bytes that are no exemplar. */
function planExemplar(plan: PushPlan, index: number): Drop | undefined {
  const { columns, context, view } = plan;
  const series = columns.exemplarSeries[index]!;
  const [start, stop] = [columns.exemplarStarts[index]!, columns.exemplarStops[index]!];
  const exemplar = decodeExemplarMessage(view, start, stop);
  if (typeof exemplar === 'string') return exemplar;
  const entry = entryOf(plan, series);
  if (entry < 0) return 'exemplar_series_invalid';
  placeSeries(context, entry);
  const { known, ring } = context;
  const replicas = ring.replicasAt(known.positions[entry]!, plan.scratchReplicas);
  const fingerprint = known.canonical.slice(entry * 4, entry * 4 + 4);
  const e = plan.exemplars.push({ ...exemplar, series, fingerprint, replicas }) - 1;
  const { length } = exemplar.labelBytes;
  for (let r = 0; r < replicas; r++) {
    const instance = plan.scratchReplicas[r]!;
    const chunk = plan.chunks[openChunk(plan, instance, EXEMPLAR_COST, length)]!;
    chunk.exemplars.push(e);
    chunk.exemplarLength += length;
  }
  return undefined;
}

/** The entry of a series in the table of known ones, or -1: it was refused when the series were routed. */
function entryOf(plan: PushPlan, series: number): number {
  const { known } = plan.context;
  const entry = findKnownSeries(known, plan.columns.rawFingerprints, series * 4, -1);
  if (entry >= 0) return entry;
  try {
    return learnSeries(plan, series); // a full table forgets
  } catch (thrown) {
    const error = toStarlingError(thrown);
    if (error.http >= 500) throw error;
    return -1;
  }
}
