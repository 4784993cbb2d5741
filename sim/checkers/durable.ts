/**
 * What disks keep never goes back: once registries converged, no later life of a machine that is ready
 * shows a lower boot counter of an instance than the machine showed before, and of itself it shows a higher
 * one: no two lives share a boot.
 */
import type { RingStatus } from '../../http/api.ts';
import type { Violation } from './answer.ts';

export class DurableChecker {
  readonly #seen = new Map<string, number>();
  /** The last life of each machine that was seen, and its boot. */
  readonly #lives = new Map<string, { readonly life: unknown; readonly bootCounter: number }>();

  /** What a node that is ready says of all instances. `life` is another object in each of its lives. */
  saw(observer: string, { instances, self }: RingStatus, life: unknown): readonly Violation[] {
    const violations: Violation[] = [];
    for (const { bootCounter, id } of instances) {
      const key = `${observer} ${id}`;
      const before = this.#seen.get(key) ?? 0;
      if (bootCounter < before) {
        const what = `${observer} shows boot ${bootCounter} of ${id}, and showed ${before}`;
        violations.push({ invariant: 'durable', what });
      }
      this.#seen.set(key, Math.max(before, bootCounter));
      if (id === self) violations.push(...this.#sawLife(observer, life, bootCounter));
    }
    return violations;
  }

  #sawLife(observer: string, life: unknown, bootCounter: number): readonly Violation[] {
    const last = this.#lives.get(observer);
    this.#lives.set(observer, { life, bootCounter });
    if (last === undefined || last.life === life || bootCounter > last.bootCounter) return [];
    const what = `${observer} has boot ${bootCounter} again in another life`;
    return [{ invariant: 'durable', what }];
  }
}
