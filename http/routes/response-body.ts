/**
 * Bodies of answers. A short one is one piece; a long one is a stream of slices of the bytes that are
 * there already: the next is made when the client has taken the one before, so that a slow client
 * holds the answer once and nothing else.
 */

const SLICE_BYTES = 256 * 1024;

/** The parts one after the other. A client that leaves stops the stream. */
export function bodyOf(
  parts: readonly Uint8Array[],
): ReadableStream<Uint8Array> | Uint8Array<ArrayBuffer> {
  const bytes = parts.reduce((sum, part) => sum + part.length, 0);
  if (bytes <= SLICE_BYTES) return Buffer.concat(parts, bytes);
  let [part, at] = [0, 0];
  return new ReadableStream<Uint8Array>(
    {
      pull: (controller) => {
        while (part < parts.length && at >= parts[part]!.length) [part, at] = [part + 1, 0];
        if (part >= parts.length) {
          controller.close();
          return;
        }
        const slice = parts[part]!.subarray(at, at + SLICE_BYTES);
        at += slice.length;
        controller.enqueue(slice);
      },
    },
    { highWaterMark: 0 },
  );
}
