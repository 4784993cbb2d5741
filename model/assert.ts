/**
 * Assertions for programmer errors. They stay on in production: a violated invariant kills the
 * actor that holds it (its supervisor decides what then), it never continues with a wrong state.
 */

/** Throws when `condition` is false. `message` names the room and the invariant: 'head: min > max'. */
export function assert(condition: boolean, message: string): asserts condition {
  if (!condition) throw new AssertionError(message);
}

/** Closes an exhaustive switch. */
export function assertNever(value: never): never {
  throw new AssertionError(`unexpected value: ${String(value)}`);
}

/** A programmer error: the code, not the input, is wrong. */
export class AssertionError extends Error {
  override readonly name = 'AssertionError';
}
