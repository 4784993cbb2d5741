/**
 * What every turn of the lifecycle machine does with its draft: write records, become ready or not,
 * end. Records go into the registry and into `changed`, which the step puts before its effects.
 */
import type { Draft, EndReason } from './lifecycle-types.ts';
import {
  type InstanceRecord,
  type RegistryRecord,
  isVoter,
  mergeRecords,
  recordKey,
} from './registry/index.ts';

/** Merges records into the draft's registry and remembers what was new. */
export function write(draft: Draft, records: readonly RegistryRecord[]): void {
  const merged = mergeRecords(draft.registry, records);
  draft.registry = merged.registry;
  for (const record of merged.changed) draft.changed.set(recordKey(record), record);
}

/** Writes the record that this instance stands by. */
export function writeOwn(draft: Draft, record: InstanceRecord): InstanceRecord {
  draft.own = record;
  write(draft, [record]);
  return record;
}

/** Writes the next version of the own record, if this instance is registered at all. */
export function amendOwn(
  draft: Draft,
  change: Partial<InstanceRecord>,
): InstanceRecord | undefined {
  const { own } = draft;
  if (own === undefined || !isVoter(own)) return undefined;
  const isSame = Object.entries(change).every(
    ([key, value]) => own[key as keyof InstanceRecord] === value, // keys of a Partial<InstanceRecord>
  );
  return isSame ? own : writeOwn(draft, { ...own, ...change, version: own.version + 1 });
}

/** Becomes ready, once. */
export function becomeReady(draft: Draft): void {
  if (!draft.isReady) draft.effects.push({ type: 'become-ready' });
  draft.isReady = true;
}

/** Stops taking traffic, once. */
export function becomeUnready(draft: Draft, why: string): void {
  if (draft.isReady) draft.effects.push({ type: 'become-unready', why });
  draft.isReady = false;
}

/** This process must not act as its instance any more. */
export function end(draft: Draft, why: EndReason): void {
  becomeUnready(draft, why);
  draft.phase = 'ended';
  draft.ballots.clear();
  draft.effects.push({ type: 'end', why });
}
