/**
 * The records that an instance writes about itself at each turn of its life, and the tombstone that
 * others write. Pure: from what is known to the next record.
 */
import type { LifecycleState, Now } from './lifecycle-types.ts';
import {
  type InstanceRecord,
  MISSING_ALWAYS_MS,
  SOFTWARE_VERSION_BYTES_MAX,
  type StoreId,
  effectiveRf,
  isVoter,
  votersOf,
} from './registry/index.ts';

type Context = Pick<LifecycleState, 'bootCounter' | 'config' | 'own' | 'registry'> & {
  readonly now: Now;
};

/** Waiting to meet a cluster: tells others that this node exists. Loses to any other record. */
export function pendingRecord(context: Context, known: InstanceRecord | undefined): InstanceRecord {
  const { config, now } = context;
  return {
    kind: 'instance',
    id: config.instanceId,
    generation: known?.generation ?? 0,
    state: 'PENDING',
    bootCounter: context.bootCounter,
    version: 0,
    proposal: 'none',
    zone: config.zone,
    addresses: config.addresses,
    tokenSeed: known?.tokenSeed ?? config.draws.tokenSeed,
    storeId: config.storeId,
    softwareVersion: config.softwareVersion.slice(0, SOFTWARE_VERSION_BYTES_MAX),
    joinedRf: 0,
    settledRf: 0,
    missingBeforeMs: 0,
    activeSinceMs: 0,
    zoneChangedAtMs: 0,
    registeredAtMs: now.wallMs,
  };
}

/** The first instance of a new cluster. */
export function firstRecord(context: Context): InstanceRecord {
  return {
    ...pendingRecord(context, context.own),
    state: 'ACTIVE',
    joinedRf: 1,
    settledRf: 1,
    activeSinceMs: context.now.wallMs,
  };
}

/**
 * Announces an instance to the majority. A newcomer brings the replication factor that its place
 * allows, in the same record, so that no step exists in which it takes writes under the old one.
 * One that was forgotten keeps its history: where its data may still matter.
 */
export function joiningRecord(context: Context): InstanceRecord {
  const { config, now, registry } = context;
  const known = registry.instances.get(config.instanceId);
  const wanted = Math.min(config.replicationFactor, votersOf(registry).length + 1);
  const rf = Math.max(effectiveRf(registry), wanted);
  const isBack = known?.state === 'LEFT' || known?.state === 'FORGOTTEN';
  const record: InstanceRecord = {
    ...pendingRecord(context, known),
    state: 'JOINING',
    generation: (known?.generation ?? 0) + (isBack ? 1 : 0),
    version: 1,
    joinedRf: rf,
    settledRf: rf,
  };
  if (known?.state !== 'FORGOTTEN' || known.activeSinceMs === 0) return record;
  const isWhole = known.storeId === config.storeId;
  return {
    ...record,
    joinedRf: known.joinedRf,
    settledRf: known.settledRf,
    activeSinceMs: known.activeSinceMs,
    missingBeforeMs: known.missingBeforeMs === 0 ? 0 : isWhole ? config.lostBeforeMs : now.wallMs,
    zoneChangedAtMs: zoneChangedAtMs(known, context),
  };
}

/**
 * Takes effect: the instance gets tokens and writes. One that was forgotten is in its zone from now on only: while it was
 * away, copies were put into fewer zones, and reads of that time must not count on its zone.
 */
export function activeRecord(context: Context): InstanceRecord {
  const own = context.own ?? pendingRecord(context, undefined);
  const isNew = own.activeSinceMs === 0;
  const rf = Math.max(own.joinedRf, effectiveRf(context.registry));
  return {
    ...own,
    state: 'ACTIVE',
    version: own.version + 1,
    joinedRf: isNew ? rf : own.joinedRf,
    settledRf: isNew ? rf : own.settledRf,
    activeSinceMs: isNew ? context.now.wallMs : own.activeSinceMs,
    zoneChangedAtMs: isNew ? own.zoneChangedAtMs : context.now.wallMs,
  };
}

/**
 * The same place and tokens under a new boot. With another store, all that was before is missing; with
 * one that is known to have lost something, what was before that.
 */
export function restartedRecord(context: Context, known: InstanceRecord): InstanceRecord {
  const { config, now } = context;
  // A counter that went backwards betrays a data directory restored from an old copy.
  const isOld = known.storeId !== config.storeId || known.bootCounter >= config.bootCounter;
  const isWiped = isOld && isVoter(known);
  return {
    ...known,
    state: known.state === 'LEAVING' ? 'ACTIVE' : known.state,
    proposal: 'none',
    bootCounter: context.bootCounter,
    version: 0,
    zone: config.zone,
    zoneChangedAtMs: zoneChangedAtMs(known, context),
    addresses: config.addresses,
    softwareVersion: config.softwareVersion.slice(0, SOFTWARE_VERSION_BYTES_MAX),
    storeId: config.storeId,
    missingBeforeMs: Math.max(
      known.missingBeforeMs,
      isWiped ? now.wallMs : 0,
      isVoter(known) ? config.lostBeforeMs : 0,
    ),
  };
}

/** No data directory has this one. */
const NO_STORE = '0'.repeat(32) as StoreId; // a data directory's are random

/**
 * The tombstone of an instance. Unless its loss was accepted, reads count it as missing: for every
 * time until all registered instances have heard of it, because those who have not may still write
 * to it; later (`sealedRecord`) only for what came before. One that had lost data and comes back must not be
 * taken for whole because its disk is the one that is known: its store is forgotten too.
 */
export function forgottenRecord(known: InstanceRecord, acceptsLoss: boolean): InstanceRecord {
  const heldData = isVoter(known) && !acceptsLoss;
  return {
    ...known,
    state: 'FORGOTTEN',
    proposal: 'none',
    storeId: known.missingBeforeMs > 0 ? NO_STORE : known.storeId,
    missingBeforeMs: heldData ? MISSING_ALWAYS_MS : 0,
  };
}

/** A tombstone that everybody has heard of: nothing new is missing. */
export function sealedRecord(tombstone: InstanceRecord, wallMs: number): InstanceRecord {
  return { ...tombstone, version: tombstone.version + 1, missingBeforeMs: wallMs };
}

/** True for a tombstone that somebody may not have heard of. */
export function isUnsealed(record: InstanceRecord): boolean {
  return record.state === 'FORGOTTEN' && record.missingBeforeMs === MISSING_ALWAYS_MS;
}

function zoneChangedAtMs(known: InstanceRecord, { config, now }: Context): number {
  const hasMoved = known.zone !== config.zone && known.activeSinceMs > 0;
  return hasMoved ? Math.max(known.zoneChangedAtMs, now.wallMs) : known.zoneChangedAtMs;
}
