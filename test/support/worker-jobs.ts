/** Jobs for the tests of worker pools: each does one thing that a pool must survive. */
import { StarlingError } from '../../model/errors.ts';
import type { Job, JobTable } from '../../platform/node/workers.ts';

export const jobs: JobTable = new Map<string, Job>([
  ['echo', (input) => ({ output: input })],
  ['exit', () => process.exit(3)],
  ['fail', () => fail(new Error('the job broke'))],
  ['hang', () => hang()],
  ['move', (input) => ({ output: input, transfer: [bufferOf(input)] })],
  ['refuse', () => fail(new StarlingError('tenant.invalid', { tenant: 'x', why: 'is bad' }))],
  ['spend', (input) => spend(input)],
  ['uncloneable', () => ({ output: () => undefined })],
]);

function fail(error: Error): never {
  throw error;
}

function hang(): never {
  for (;;);
}

/** What earlier jobs of this thread had as their input. */
const earlier: Uint8Array[] = [];

/** Tells how many bytes there still are of all earlier inputs, and answers with its own, which it is done with. */
function spend(input: unknown): ReturnType<Job> {
  const left = earlier.reduce((sum, { length }) => sum + length, 0);
  const buffer = bufferOf(input);
  const bytes = new Uint8Array(buffer);
  earlier.push(bytes);
  return { output: { left, bytes }, spent: [buffer, buffer, new SharedArrayBuffer(1)] };
}

function bufferOf(input: unknown): ArrayBuffer {
  if (input instanceof Uint8Array && input.buffer instanceof ArrayBuffer) return input.buffer;
  throw new Error('not bytes of their own buffer');
}
