/**
 * Which samples a cluster of lifecycle machines has acknowledged, and whether its reads find them.
 * It writes through every ready instance, acknowledged by the fewest replicas that the writer's ring
 * allows, and reads through every one: a read that its plan calls complete, after pulling the
 * registries of those whose digest differs, must have asked a holder of the sample.
 */
import assert from 'node:assert/strict';
import {
  acceptsWritesFrom,
  isVoter,
  mergeRegistries,
  registryDigest,
  votersOf,
} from '../../membership/registry/index.ts';
import { readPlan } from '../../membership/ring/index.ts';
import { type InstanceId, parseInstanceId } from '../../model/ids.ts';
import type { LifecycleWorld } from './lifecycle-world.ts';

/** Commands take no time here, so what was written just before a change has its very time. */
const SLACK_MS = 1;

export class WriteModel {
  readonly #world: LifecycleWorld;
  readonly #ids: readonly InstanceId[];
  readonly #written: {
    readonly atMs: number;
    readonly holders: readonly { readonly id: InstanceId; readonly store: number }[];
  }[] = [];
  #turn = 0;

  constructor(world: LifecycleWorld, ids: readonly string[]) {
    this.#world = world;
    this.#ids = ids.map(parseInstanceId);
  }

  #ready(): InstanceId[] {
    return this.#ids.filter((id) => this.#world.isRunning(id) && this.#world.stateOf(id).isReady);
  }

  #accepts(ingester: InstanceId, writer: InstanceId): boolean {
    const { isReady, registry } = this.#world.stateOf(ingester);
    return isReady && acceptsWritesFrom(registry, writer);
  }

  write(): void {
    for (const writer of this.#ready()) {
      const ring = this.#world.ringOf(writer);
      const out = new Uint16Array(ring.replicasMax);
      const hash = Math.imul(++this.#turn, 0x9e37_79b1) >>> 0;
      const count = ring.replicaSet(hash, 'write', out);
      const reachable = this.#world.reachableFrom(writer);
      const willing = Array.from(out.subarray(0, count), (i) => ring.instances[i]!.id).filter(
        (id) => reachable.includes(id) && this.#accepts(id, writer),
      );
      if (willing.length < ring.writeQuorum) continue; // 503
      const rotated = willing.map((_, i) => willing[(i + this.#turn) % willing.length]!);
      const holders = rotated.slice(0, ring.writeQuorum);
      for (const id of holders) this.#world.input(id, { type: 'wrote' });
      this.#written.push({
        atMs: this.#world.nowMs,
        holders: holders.map((id) => ({ id, store: this.#world.storeOf(id) })),
      });
    }
  }

  /** Returns how many reads were complete. */
  read(): number {
    let completeCount = 0;
    for (const reader of this.#ready()) {
      const answering = this.#world
        .reachableFrom(reader)
        .filter((id) => votersOf(this.#world.stateOf(id).registry).some((own) => own.id === id));
      for (const { atMs, holders } of this.#written) {
        const { answered, isComplete, registry } = this.#gather(reader, answering, atMs);
        if (!isComplete) continue;
        completeCount++;
        const isKept = ({ id, store }: { readonly id: InstanceId; readonly store: number }) =>
          this.#world.storeOf(id) === store && isVoter(registry.instances.get(id));
        if (holders.filter(isKept).length === 0) continue; // W replicas were lost
        const met = holders.filter((holder) => isKept(holder) && answered.has(holder.id));
        const names = holders.map(({ id }) => id).join();
        assert.ok(
          met.length > 0,
          `${reader} misses what ${names} hold, from ${[...answered].join()}`,
        );
      }
    }
    return completeCount;
  }

  #gather(reader: string, answering: readonly InstanceId[], atMs: number) {
    let { registry } = this.#world.stateOf(reader);
    for (;;) {
      const plan = readPlan(registry, { minTimeMs: atMs, maxTimeMs: atMs }, SLACK_MS);
      const asked = new Set(plan.instancesToAsk.map(({ id }) => id));
      const answered = new Set(answering.filter((id) => asked.has(id)));
      const before = registryDigest(registry);
      for (const id of answered) {
        registry = mergeRegistries(registry, this.#world.stateOf(id).registry).registry;
      }
      const isComplete = plan.isComplete(answered).ok;
      if (!isComplete || registryDigest(registry) === before) {
        return { answered, isComplete, registry };
      }
    }
  }
}
