/**
 * Whether replicas are asked for digests. One that differs costs a second ask, so each time that it happens more queries
 * than the time before ask for series at once.
 */

/** However often replicas differed, one query of so many tries. */
const PAUSE_MAX = 64;

export class DigestLuck {
  #pause = 0;
  #left = 0;

  /** Asked once for each query. */
  mayTry(): boolean {
    if (this.#left === 0) return true;
    this.#left--;
    return false;
  }

  note(replicas: 'agree' | 'differ'): void {
    this.#pause = replicas === 'agree' ? 0 : Math.min(Math.max(this.#pause * 2, 1), PAUSE_MAX);
    this.#left = this.#pause;
  }
}
