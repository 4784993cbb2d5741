/** I23: some time after the last fault every request succeeds; nothing stays broken by itself. */
import type { RequestSeen } from './available.ts';
import type { Violation } from './answer.ts';

/** How long a cluster may take to be its old self. */
export const RECOVERY_MS = 60_000;

/** `wholeSinceMs`: since when nothing is harmed. */
export function checkRecovered(request: RequestSeen, wholeSinceMs: number): readonly Violation[] {
  const { kind, node, startMs, why } = request;
  if (why === undefined || startMs < wholeSinceMs + RECOVERY_MS) return [];
  const forMs = (startMs - wholeSinceMs).toFixed(0);
  const what = `a ${kind} to ${node} failed ${forMs} ms after all was whole: ${why}`;
  return [{ invariant: 'I23', what }];
}
