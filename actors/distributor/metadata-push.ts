/**
 * The metadata of one push: from the messages in the body to the ingesters that own the metrics' names.
 *
 *   message -> checked entry -> place of (tenant, name) on the ring -> its replicas -> a batch for each
 *
 * An owner keeps it in memory, so that any instance answers for any metric by asking the owners. A request
 * with series does not wait for it: senders repeat metadata every minute. One with metadata alone has
 * nothing else to be answered by, and needs a quorum for every entry.
 */
import { StarlingError, toStarlingError } from '../../model/errors.ts';
import type { InstanceId } from '../../model/ids.ts';
import type { MetricMetadata } from '../../model/metadata.ts';
import { fingerprint, viewOf } from '../../model/wire/fingerprint.ts';
import { decodeMetadataMessage } from '../../model/wire/metadata-message.ts';
import type { WriteColumns } from '../../model/wire/remote-write.ts';
import type { TurnQueue } from '../../platform/turn-queue.ts';
import { METADATA_PER_MESSAGE_MAX } from '../ingester/messages.ts';
import type { Discards } from './discards.ts';
import type { PushContext } from './push-plan.ts';

/** Texts of one message have so many UTF-16 units, and one entry's more. */
const METADATA_UNITS_PER_MESSAGE = 64 * 1024;
/** Checking so many takes about a millisecond. */
const METADATA_PER_SLICE = 256;

/** Checked metadata and where it goes. */
export interface MetadataPlan {
  /** One for each message that was valid. */
  readonly entries: readonly MetricMetadata[];
  /** Per entry: the indexes of its replicas' instances. */
  readonly replicas: readonly Uint16Array[];
  /** The first thing that was refused. */
  readonly refused: StarlingError | undefined;
}

/** Checks the metadata of a request, in slices; what is refused is counted. */
export async function planMetadata(
  context: PushContext,
  view: DataView,
  columns: WriteColumns,
  { discards, turns }: { readonly discards: Discards; readonly turns: TurnQueue },
): Promise<MetadataPlan> {
  const { metadataCount, metadataStarts, metadataStops } = columns;
  const entries: MetricMetadata[] = [];
  const replicas: Uint16Array[] = [];
  let refused: StarlingError | undefined;
  for (let i = 0; i < metadataCount; i++) {
    if (i % METADATA_PER_SLICE === METADATA_PER_SLICE - 1) await turns.again();
    try {
      const [start, stop] = [metadataStarts[i]!, metadataStops[i]!];
      const entry = decodeMetadataMessage(view, start, stop, context.limits);
      replicas.push(ownersOfName(context, entry.name));
      entries.push(entry);
    } catch (thrown) {
      const error = toStarlingError(thrown);
      if (error.http >= 500 || error.id === 'protobuf.corrupt') throw error;
      discards.metadata(error);
      refused ??= error;
    }
  }
  return { entries, replicas, refused };
}

/** The instances that own a metric's name: where a series of these very bytes would be. */
function ownersOfName({ ring, seriesKey }: PushContext, name: string): Uint16Array {
  const bytes = Buffer.from(name);
  const hash = new Uint32Array(4);
  fingerprint(seriesKey, viewOf(bytes), 0, bytes.length, hash, 0);
  const owners = new Uint16Array(ring.replicationFactor);
  return owners.subarray(0, ring.replicasAt(ring.positionOf(hash[0]!), owners));
}

export interface MetadataSending {
  readonly instances: readonly InstanceId[];
  readonly writeQuorum: number;
  /** Rejects with a StarlingError at the latest at its deadline. */
  readonly send: (instance: InstanceId, entries: readonly MetricMetadata[]) => Promise<void>;
}

/** Sends all entries to all their replicas. Rejects with `write.no_quorum` when some entry has too few. */
export async function sendMetadata(
  { entries, replicas }: MetadataPlan,
  { instances, send, writeQuorum }: MetadataSending,
): Promise<void> {
  const acks = new Uint8Array(entries.length);
  const reasons = new Set<string>();
  const sendTo = async (instance: number, indexes: readonly number[]): Promise<void> => {
    try {
      const batch = indexes.map((i) => entries[i]!);
      await send(instances[instance]!, batch);
      for (const i of indexes) acks[i] = acks[i]! + 1;
    } catch (thrown) {
      reasons.add(`${instances[instance]!}: ${toStarlingError(thrown).message}`);
    }
  };
  await Promise.all(messagesOf(entries, replicas).map((one) => sendTo(one.instance, one.indexes)));
  const least = acks.reduce((min, count) => Math.min(min, count), Number.POSITIVE_INFINITY);
  if (least >= writeQuorum) return;
  const why = [...reasons].join('; ') || 'too few instances are registered';
  throw new StarlingError('write.no_quorum', { acks: least, needed: writeQuorum, why });
}

interface MetadataMessage {
  readonly instance: number;
  readonly indexes: number[];
  units: number;
}

/** Which entries go together to which instance. */
function messagesOf(
  entries: readonly MetricMetadata[],
  replicas: readonly Uint16Array[],
): readonly MetadataMessage[] {
  const all: MetadataMessage[] = [];
  const open = new Map<number, MetadataMessage>();
  entries.forEach(({ help, name, unit }, i) => {
    for (const instance of replicas[i]!) {
      let message = open.get(instance);
      const isFull =
        message === undefined ||
        message.indexes.length >= METADATA_PER_MESSAGE_MAX ||
        message.units >= METADATA_UNITS_PER_MESSAGE;
      if (isFull || message === undefined) {
        message = { instance, indexes: [], units: 0 };
        open.set(instance, message);
        all.push(message);
      }
      message.indexes.push(i);
      message.units += name.length + help.length + unit.length;
    }
  });
  return all;
}
