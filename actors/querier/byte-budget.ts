/**
 * The bytes of answers that queries hold: one bound for a query, one for all of the instance together.
 * What was taken is given back, at the latest when the query ends.
 */
import { StarlingError } from '../../model/errors.ts';

/** What all queries of an instance hold. */
export class NodeBytes {
  readonly countMax: number;
  count = 0;

  constructor(countMax: number) {
    this.countMax = countMax;
  }
}

/** What one query holds. */
export class QueryBytes {
  readonly #node: NodeBytes;
  readonly #countMax: number;
  #count = 0;
  #isClosed = false;

  constructor(node: NodeBytes, countMax: number) {
    this.#node = node;
    this.#countMax = countMax;
  }

  /** Throws `query.too_large` over the query's bound, `node.overloaded` over the instance's. */
  take(count: number): void {
    if (this.#isClosed) throw new StarlingError('request.canceled', undefined);
    this.#count += count;
    this.#node.count += count;
    if (this.#count > this.#countMax) {
      const facts = { what: 'bytes of chunks', count: this.#count, countMax: this.#countMax };
      throw new StarlingError('query.too_large', facts);
    }
    const { countMax } = this.#node;
    if (this.#node.count > countMax) {
      throw new StarlingError('node.overloaded', { what: 'bytes of queries in flight', countMax });
    }
  }

  give(count: number): void {
    if (this.#isClosed) return;
    this.#count -= count;
    this.#node.count -= count;
  }

  /** Gives back all that is left. */
  close(): void {
    this.give(this.#count);
    this.#isClosed = true;
  }
}
