/**
 * How this process' garbage is collected. A node's large things are buffers outside the JavaScript heap,
 * and most of them live for one request. V8 lets the young generation grow to 16 MiB because so little in
 * it survives; then hundreds of megabytes of dead buffers wait for it to fill, and V8, seeing only that
 * memory outside the heap grew, marks the whole heap again and again. A young generation that stays as
 * small as it begins is collected often, in well under a millisecond, and frees the buffers with it.
 */
import v8 from 'node:v8';

/** For the whole process, its workers too; before much was allocated. */
export function keepYoungGenerationSmall(): void {
  v8.setFlagsFromString('--semi-space-growth-factor=1');
}
