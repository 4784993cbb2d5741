/** The public face of membership: gossip, registry, ring, and the life of this instance. */
export { DownWatch } from './down-watch.ts';
export { Gossip, type GossipOptions, type GossipSeams, type ReliableChannel } from './gossip.ts';
export { type Identity, openIdentity } from './identity.ts';
export { createLifecycle, step as stepLifecycle } from './lifecycle.ts';
export { type Loss, LossNote } from './loss-note.ts';
export type {
  LifecycleConfig,
  LifecycleEffect,
  LifecycleInput,
  LifecycleState,
} from './lifecycle-types.ts';
export {
  type InstanceRecord,
  MISSING_ALWAYS_MS,
  REGISTRY_FILE,
  type Registry,
  RegistryFile,
  type RegistryRecord,
  acceptsWritesFrom,
  decodeRecord,
  decodeRecords,
  effectiveRf,
  emptyRegistry,
  encodeRecord,
  hashText,
  instancesById,
  isVoter,
  loadRegistry,
  mergeRecords,
  recordKey,
  recordsOf,
  registryDigest,
} from './registry/index.ts';
export { READ_SLACK_MS, type ReadPlan, type ReadVerdict, Ring, readPlan } from './ring/index.ts';
