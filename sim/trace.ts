/**
 * The trace of a run: a 64-bit rolling hash over everything that happened, and the last lines in
 * words. Two runs of one seed and commit have the same hash; the first line that differs tells where
 * they parted. Two 32-bit lanes with different multipliers, so that no BigInt is in the loop.
 */
import { hashText } from './random.ts';

const LINES_KEPT_MAX = 2000;

export class Trace {
  #low = 0x811c_9dc5;
  #high = 0x9e37_79b9;
  readonly #scratch = new DataView(new ArrayBuffer(8));
  readonly #lines: string[] = [];
  /** How often each named thing happened; not part of the hash. */
  readonly probes = new Map<string, number>();

  /** Adds a number, all 64 bits of it. */
  number(value: number): void {
    this.#scratch.setFloat64(0, value);
    this.#add(this.#scratch.getUint32(0));
    this.#add(this.#scratch.getUint32(4));
  }

  text(text: string): void {
    this.#add(hashText(text));
  }

  bytes(bytes: Uint8Array): void {
    let h = bytes.length;
    for (let i = 0; i < bytes.length; i++) h = Math.imul(h ^ bytes[i]!, 0x0100_0193);
    this.#add(h);
  }

  /** Counts something worth seeing: a rare branch, a fault, an event of a node's log. */
  probe(name: string): void {
    this.probes.set(name, (this.probes.get(name) ?? 0) + 1);
  }

  /** Adds a line in words; only the last ones are kept. */
  line(line: string): void {
    this.text(line);
    this.#lines.push(line);
    if (this.#lines.length > 2 * LINES_KEPT_MAX) this.#lines.splice(0, LINES_KEPT_MAX);
  }

  /** The last lines, oldest first. */
  lastLines(count = LINES_KEPT_MAX): readonly string[] {
    return this.#lines.slice(-count);
  }

  /** The hash so far, 16 hex digits. */
  get hash(): string {
    const hex = (lane: number): string => (lane >>> 0).toString(16).padStart(8, '0');
    return hex(this.#high) + hex(this.#low);
  }

  #add(value: number): void {
    this.#low = Math.imul(this.#low ^ value, 0x0100_0193);
    this.#low ^= this.#low >>> 15;
    this.#high = Math.imul((this.#high << 5) ^ (this.#high >>> 27) ^ value, 0x85eb_ca6b);
  }
}
