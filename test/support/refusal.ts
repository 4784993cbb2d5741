/** What `t.throws` and `t.rejects` are given: a catalogue error by its id and, if it matters, its text. */
import { type ErrorId, StarlingError } from '../../model/errors.ts';

export function refusal(
  id: ErrorId,
  message = /./,
): { readonly id: ErrorId; readonly message: RegExp } {
  return { id, message };
}

/** What `work` is refused with, if it is; anything thrown that is no StarlingError is thrown on. */
export function refusalOf(work: () => unknown): StarlingError | undefined {
  try {
    work();
    return undefined;
  } catch (error) {
    if (error instanceof StarlingError) return error;
    throw error;
  }
}
