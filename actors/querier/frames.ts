/** The frames of answers: how much they are, and their way to a worker. */
import type { Gathered } from './gather.ts';

export function bytesOf(frames: readonly Uint8Array[]): number {
  let bytes = 0;
  for (const frame of frames) bytes += frame.length;
  return bytes;
}

/** Frames own their buffers: they move to the worker. */
export function transferable(gathered: readonly Gathered[]): readonly ArrayBuffer[] {
  const buffers = new Set<ArrayBuffer>();
  for (const { frames } of gathered) {
    for (const { buffer, byteLength } of frames.flat()) {
      if (buffer instanceof ArrayBuffer && buffer.byteLength === byteLength) buffers.add(buffer);
    }
  }
  return [...buffers];
}
