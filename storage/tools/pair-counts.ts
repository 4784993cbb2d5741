/**
 * Which series have which label pair, boiled down to a count and a sum of mixed references a pair, so that
 * the postings of a block can be compared with its series in memory for the pairs alone (about 60 bytes each).
 */

export class PairCounts {
  /** (name, value) as one number -> place in the columns. */
  readonly #places = new Map<number, number>();
  readonly #counts: number[] = [];
  readonly #sums: number[] = [];
  readonly #symbolCount: number;

  constructor(symbolCount: number) {
    this.#symbolCount = symbolCount;
  }

  /** Notes that the series at `ref` has these pairs. */
  add(ref: number, symbols: readonly number[]): void {
    const mixed = mixRef(ref);
    for (let i = 0; i < symbols.length; i += 2) {
      const pair = symbols[i]! * this.#symbolCount + symbols[i + 1]!;
      const place = this.#places.get(pair);
      if (place === undefined) {
        this.#places.set(pair, this.#counts.length);
        this.#counts.push(1);
        this.#sums.push(mixed);
      } else {
        this.#counts[place]!++;
        this.#sums[place] = (this.#sums[place]! + mixed) >>> 0;
      }
    }
  }

  /** Calls back for all pairs, as the table of postings has them: by name, then value. */
  sorted(): PairCursor {
    const pairs = Float64Array.from(this.#places.keys()).sort();
    return new PairCursor(pairs, this.#symbolCount, (pair) => {
      const place = this.#places.get(pair) ?? 0;
      return { count: this.#counts[place]!, sum: this.#sums[place]! };
    });
  }
}

export interface PairFigures {
  readonly count: number;
  readonly sum: number;
}

/** Goes over the pairs once, in order. */
export class PairCursor {
  readonly #pairs: Float64Array;
  readonly #symbolCount: number;
  readonly #figuresOf: (pair: number) => PairFigures;
  #at = 0;

  constructor(pairs: Float64Array, symbolCount: number, figuresOf: (pair: number) => PairFigures) {
    this.#pairs = pairs;
    this.#symbolCount = symbolCount;
    this.#figuresOf = figuresOf;
  }

  /** The symbols of the pair; undefined after the last. */
  get pair(): { readonly name: number; readonly value: number } | undefined {
    const pair = this.#pairs[this.#at];
    if (pair === undefined) return undefined;
    return { name: Math.floor(pair / this.#symbolCount), value: pair % this.#symbolCount };
  }

  get figures(): PairFigures {
    return this.#figuresOf(this.#pairs[this.#at]!);
  }

  advance(): void {
    this.#at++;
  }
}

/** The figures of a list of postings. */
export function figuresOf(refs: Uint32Array): PairFigures {
  let sum = 0;
  for (let i = 0; i < refs.length; i++) sum = (sum + mixRef(refs[i]!)) >>> 0;
  return { count: refs.length, sum };
}

/** Spreads the bits of a reference, so that sums of different sets differ. */
function mixRef(ref: number): number {
  const mixed = Math.imul(ref ^ (ref >>> 15), 0x85eb_ca6b);
  return (mixed ^ (mixed >>> 13)) >>> 0;
}
