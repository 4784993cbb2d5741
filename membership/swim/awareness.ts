/**
 * Local health awareness (Lifeguard): a score from 0 (fine) to 8 by default (this node itself is slow or cut
 * off). It rises when this node sees signs that *it* is the problem: helpers that do not even send
 * a nack, accusations it must refute, a stalled loop. A high score slows its probing, so that a
 * sick node accuses less.
 */

/** The score after a change, kept within 0 and `scoreMax`. */
export function adjustHealth(score: number, delta: number, scoreMax: number): number {
  return Math.min(scoreMax, Math.max(0, score + delta));
}

/** A probe interval or deadline stretched by the score. */
export function stretchByHealth(durationMs: number, score: number): number {
  return durationMs * (score + 1);
}

/** How the score changes after a failed probe: each helper that stayed silent counts. */
export function failedProbeDelta(expectedNacks: number, nacks: number): number {
  return expectedNacks === 0 ? 1 : Math.max(0, expectedNacks - nacks);
}
