/**
 * What disks keep never goes back: once registries converged, no later life of a machine that is ready
 * shows a lower boot counter of an instance, its own included, than the machine showed before.
 */
import type { RingStatus } from '../../http/api.ts';
import type { Violation } from './answer.ts';

export class DurableChecker {
  readonly #seen = new Map<string, number>();

  /** What a node that is ready says of all instances. */
  saw(observer: string, { instances }: RingStatus): readonly Violation[] {
    const violations: Violation[] = [];
    for (const { bootCounter, id } of instances) {
      const key = `${observer} ${id}`;
      const before = this.#seen.get(key) ?? 0;
      if (bootCounter < before) {
        const what = `${observer} shows boot ${bootCounter} of ${id}, and showed ${before}`;
        violations.push({ invariant: 'durable', what });
      }
      this.#seen.set(key, Math.max(before, bootCounter));
    }
    return violations;
  }
}
