/**
 * Until a thread transfers its first buffer, V8 compiles code on typed arrays without asking whether theirs was
 * transferred, and at that moment throws all such code away at once (its "array buffer detaching protector"): in the
 * midst of the first large query everything would be slow again, writes too. To be called before anything is warm.
 */
export function giveAwayFirstBuffer(): void {
  const buffer = new ArrayBuffer(8);
  structuredClone(buffer, { transfer: [buffer] });
}
