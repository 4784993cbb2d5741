/**
 * Faults of the bucket, while heads are cut and shipped to it: it refuses, does what it says it did not, is
 * slow, hangs, or lists late. They reach everybody; what is read of it meanwhile may be refused.
 */
import type { BucketCallKind, BucketFault } from '../bucket.ts';
import type { FaultScene, Faults } from './fault.ts';

const CHANGES: readonly BucketCallKind[] = ['delete', 'put'];

/** Fails calls with a chance while some machines ship; then all is well again. */
async function failing<Node>(
  scene: FaultScene<Node>,
  fault: BucketFault,
  chance: number,
  kinds?: readonly BucketCallKind[],
): Promise<void> {
  const { random, world } = scene;
  world.bucket.failWhen = ({ kind }) =>
    (kinds?.includes(kind) ?? true) && random.chance(chance) ? fault : undefined;
  await shipMeanwhile(scene);
  world.bucket.failWhen = () => undefined;
}

async function shipMeanwhile<Node>({
  lengthMs,
  operator,
  random,
  world,
}: FaultScene<Node>): Promise<void> {
  const flushing = operator
    .members()
    .filter(() => random.chance(0.7))
    .map((machine) => operator.flush(machine));
  await Promise.all([...flushing, world.sleep(lengthMs)]);
}

export const BUCKET_FAULTS: Faults = {
  'bucket-denies': {
    sentence: 'the bucket denies all calls, as with credentials that were revoked',
    reach: 'all',
    strike: (scene) => failing(scene, 'denied', 1),
  },
  'bucket-hangs': {
    sentence: 'some calls of the bucket hang until their deadline',
    reach: 'all',
    strike: (scene) => failing(scene, 'hang', scene.random.between(0.02, 0.3)),
  },
  'bucket-lists-late': {
    sentence: 'listings of the bucket show an object, or its absence, late',
    reach: 'all',
    async strike(scene) {
      scene.world.bucket.listLagMs = scene.random.between(1000, 60_000);
      await shipMeanwhile(scene);
      scene.world.bucket.listLagMs = 0;
    },
  },
  'bucket-loses-answers': {
    sentence: 'the bucket does what it says it could not do',
    reach: 'all',
    strike: (scene) => failing(scene, 'lost', scene.random.between(0.05, 0.9), CHANGES),
  },
  'bucket-refuses': {
    sentence: 'some or all calls of the bucket are refused, as with a 503',
    reach: 'all',
    strike: (scene) => failing(scene, 'refused', scene.random.pick([0.1, 0.5, 1]) ?? 1),
  },
  'bucket-slow': {
    sentence: 'the bucket takes seconds for a call',
    reach: 'all',
    async strike(scene) {
      const { random, world } = scene;
      const before = world.bucket.latencyMs;
      world.bucket.latencyMs = () => random.between(200, 5000);
      await shipMeanwhile(scene);
      world.bucket.latencyMs = before;
    },
  },
};
