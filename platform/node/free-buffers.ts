/**
 * Gives the memory of buffers back to the system now. Otherwise V8 does when it collects, and because it counts their
 * bytes, a few large inputs of jobs make it mark the whole heap of a thread, again and again.
 */
import { MessageChannel } from 'node:worker_threads';

/** What moves to a port that nobody holds the other end of is gone. */
const drain = new MessageChannel().port1;
drain.close();

/** Detaches the buffers, each of which may be told more than once: nothing may look at them any more. */
export function freeBuffers(buffers: readonly ArrayBufferLike[]): void {
  const own = [...new Set(buffers)].filter((one) => one instanceof ArrayBuffer);
  if (own.length > 0) drain.postMessage(undefined, own);
}
