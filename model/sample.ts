/**
 * Samples: a timestamp in Unix milliseconds (a `number`, exact to 2^53) and an IEEE 754 double.
 *
 * The bit pattern of a value must survive storage: the stale marker is a *signalling* NaN that
 * arithmetic would quiet. So wherever bits matter a value travels as two 32-bit words (`Uint32Array`
 * views, little-endian: low word first), and staleness is decided on words, never on a number.
 */

/** The stale marker, 0x7ff0000000000002, as [low, high] words. */
export const STALE_NAN_LOW = 0x0000_0002;
export const STALE_NAN_HIGH = 0x7ff0_0000;

/** True when the two words are Prometheus' stale marker. */
export function isStaleWords(low: number, high: number): boolean {
  return low === STALE_NAN_LOW && high === STALE_NAN_HIGH;
}

/** A closed time range in Unix milliseconds, both ends included. */
export interface TimeRange {
  readonly minTimeMs: number;
  readonly maxTimeMs: number;
}
