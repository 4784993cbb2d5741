/**
 * For how long this node has seen each instance down, without a break. Time counts only while somebody looks:
 * a process that was stopped, or slept with its machine, has seen nothing meanwhile, so a look adds at most
 * `LOOK_MAX_MS`. Pure data; it decides nothing.
 */
import type { InstanceId } from '../model/ids.ts';

/** A look later than this after the one before counts as this much. */
export const LOOK_MAX_MS = 60_000;
/** Whoever is down is so for a moment at least. */
const FIRST_MS = 1;

export class DownWatch {
  readonly #downMs = new Map<InstanceId, number>();
  #lookedAtMs: number | undefined;

  /** Notes who is down now, of all that are registered; whoever is not begins at nothing again. */
  look(nowMs: number, down: ReadonlySet<InstanceId>): void {
    const passedMs = Math.min(nowMs - (this.#lookedAtMs ?? nowMs), LOOK_MAX_MS);
    this.#lookedAtMs = nowMs;
    for (const id of this.#downMs.keys()) if (!down.has(id)) this.#downMs.delete(id);
    for (const id of down) {
      const known = this.#downMs.get(id);
      this.#downMs.set(id, known === undefined ? FIRST_MS : known + passedMs);
    }
  }

  /** 0 for an instance that is not down. */
  downMs(id: InstanceId): number {
    return this.#downMs.get(id) ?? 0;
  }
}
