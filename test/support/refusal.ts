/** What `t.throws` and `t.rejects` are given: a catalogue error by its id and, if it matters, its text. */
import type { ErrorId } from '../../model/errors.ts';

export function refusal(
  id: ErrorId,
  message = /./,
): { readonly id: ErrorId; readonly message: RegExp } {
  return { id, message };
}
