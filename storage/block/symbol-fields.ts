/**
 * Canonical label bytes of series, put together from the symbols of an index without making strings. What symbols become
 * in them (uvarint length, bytes) is remembered, each in the one place that its number has, within fixed bounds:
 *
 *   slots   symbol + 1 | start | length      slot = symbol mod slots
 *   bytes   fields, one after another; when they are full, all are forgotten
 */
import { VARINT_BYTES_MAX, putUvarint } from '../../model/wire/varint.ts';
import type { SymbolTable } from './symbol-table.ts';

const SLOTS_START = 1 << 8;
const SLOTS_MAX = 1 << 16;
const BYTES_START = 1 << 12;
const BYTES_MAX = 1 << 22;
/** Longer ones are not remembered. */
const FIELD_BYTES_MAX = 1 << 12;

export class SymbolFields {
  /** What `tryEncode` wrote last; overwritten by the next call. */
  scratch = new Uint8Array(1024);
  /** Of what is in `scratch`: the symbols, and where each one's bytes end. Neighbours begin alike. */
  readonly #last: number[] = [];
  readonly #ends: number[] = [];
  readonly #symbols: SymbolTable;
  #tags = new Uint32Array(SLOTS_START);
  #starts = new Uint32Array(SLOTS_START);
  #lengths = new Uint16Array(SLOTS_START);
  /** Slots that were taken since all were forgotten; of a symbol that lost its place too. */
  #taken = 0;
  #bytes = new Uint8Array(BYTES_START);
  #used = 0;

  constructor(symbols: SymbolTable) {
    this.#symbols = symbols;
  }

  /**
   * Hot: writes the canonical label bytes of a series with these symbols to `scratch`; returns their length, or -1
   * when the bytes of a symbol are not at hand.
   */
  tryEncode(symbols: readonly number[]): number {
    const last = this.#last;
    const ends = this.#ends;
    let same = 0;
    while (same < last.length && same < symbols.length && last[same] === symbols[same]) same++;
    let length = same === 0 ? 0 : ends[same - 1]!;
    last.length = same; // until more is there
    ends.length = same;
    for (let i = same; i < symbols.length; i++) {
      const symbol = symbols[i]!;
      if (this.#tags[symbol & (this.#tags.length - 1)] !== symbol + 1 && !this.#load(symbol)) {
        return -1;
      }
      const slot = symbol & (this.#tags.length - 1);
      const from = this.#starts[slot]!;
      const end = length + this.#lengths[slot]!;
      if (end > this.scratch.length) this.#growScratch(end);
      const { scratch } = this;
      const bytes = this.#bytes;
      for (let at = from; length < end; at++) scratch[length++] = bytes[at]!;
      last.push(symbol);
      ends.push(length);
    }
    return length;
  }

  #growScratch(length: number): void {
    const larger = new Uint8Array(length * 2);
    larger.set(this.scratch);
    this.scratch = larger;
  }

  /** Remembers a symbol. False: its bytes are not at hand, or too many. */
  #load(symbol: number): boolean {
    const bytes = this.#symbols.peekBytes(symbol);
    if (bytes === undefined || bytes.length > FIELD_BYTES_MAX) return false;
    const slotCount = this.#tags.length;
    if (this.#taken >= slotCount / 2 && slotCount < SLOTS_MAX) this.#forget(slotCount * 4);
    if (this.#used + VARINT_BYTES_MAX + bytes.length > this.#bytes.length) this.#growBytes();
    const start = this.#used;
    const from = putUvarint(this.#bytes, start, bytes.length);
    this.#bytes.set(bytes, from);
    this.#used = from + bytes.length;
    const slot = symbol & (this.#tags.length - 1);
    this.#tags[slot] = symbol + 1;
    this.#starts[slot] = start;
    this.#lengths[slot] = this.#used - start;
    this.#taken++;
    return true;
  }

  /** Makes room for one more field. */
  #growBytes(): void {
    if (this.#bytes.length >= BYTES_MAX) {
      this.#forget(this.#tags.length);
      return;
    }
    const larger = new Uint8Array(this.#bytes.length * 4);
    larger.set(this.#bytes);
    this.#bytes = larger;
  }

  #forget(slotCount: number): void {
    this.#tags = new Uint32Array(slotCount);
    this.#starts = new Uint32Array(slotCount);
    this.#lengths = new Uint16Array(slotCount);
    this.#taken = 0;
    this.#used = 0;
  }
}
