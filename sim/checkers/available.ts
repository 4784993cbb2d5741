/**
 * I24: while one machine of three copies is harmed, the others answer. Requests that begin some time
 * after the fault struck, to a machine that is not harmed, and end before the fault does, succeed;
 * but for a cluster that is young and still minds the time when it had fewer copies, and for what a cut of a head
 * before its time made too old on one of the others: one takes such a sample, one refuses it, and the third, which
 * would decide, is harmed. A cut in its time is an hour behind the samples, and no repetition is that old.
 */
import type { Violation } from './answer.ts';

export interface Harm {
  readonly victim: string;
  readonly sinceMs: number;
  /** Infinity while it lasts. */
  untilMs: number;
}

export interface RequestSeen {
  readonly kind: 'push' | 'read';
  readonly node: string;
  readonly startMs: number;
  readonly endMs: number;
  readonly why: string | undefined;
}

/** In the answer to a push of which one replica refused a sample because its head was cut after it. */
const TOO_OLD = 'sample-timestamp-too-old';

/** How long the others may take to notice. */
export const NOTICE_MS = 20_000;

/** Judges a request when it ended. `cutsHeads`: heads may have been cut before their time. */
export function checkAvailable(
  request: RequestSeen,
  harm: Harm | undefined,
  cutsHeads: boolean,
): readonly Violation[] {
  const { endMs, kind, node, startMs, why } = request;
  if (why === undefined || harm === undefined || node === harm.victim) return [];
  if (startMs < harm.sinceMs + NOTICE_MS || endMs > harm.untilMs) return [];
  const isOpen = why.includes(TOO_OLD) && why.includes(`${harm.victim}: `);
  if (cutsHeads && kind === 'push' && isOpen) return [];
  const what = `a ${kind} to ${node} failed while only ${harm.victim} was harmed: ${why}`;
  return [{ invariant: 'I24', what }];
}
