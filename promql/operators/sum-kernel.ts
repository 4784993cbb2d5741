/** The sums of folds.ts by WebAssembly (sum-row.wat), for blocks in scratch memory: a third of the time. */
import { ScratchKernel, isScratch } from '../../model/scratch-memory.ts';
import type { Block } from './block.ts';
import { sumRowWasm } from './sum-row-wasm.ts';

interface SumExports {
  add(
    values: number,
    present: number,
    sums: number,
    errors: number,
    outPresent: number,
    steps: number,
  ): void;
}

const kernel = new ScratchKernel<SumExports>(sumRowWasm);

/** Adds all rows, and what each addition lost into `errors`. False: nothing was done. */
export function addRowsInScratch(
  { present, steps, values }: Block,
  groupOf: Uint32Array,
  out: Block,
  errors: Float64Array,
): boolean {
  const { exports } = kernel;
  if (exports === undefined) return false;
  if (![values, present, out.values, out.present, errors].every(isScratch)) return false;
  for (let row = 0; row < groupOf.length; row++) {
    const cell = row * steps;
    const to = groupOf[row]! * steps;
    exports.add(
      values.byteOffset + cell * 8,
      present.byteOffset + cell,
      out.values.byteOffset + to * 8,
      errors.byteOffset + to * 8,
      out.present.byteOffset + to,
      steps,
    );
  }
  return true;
}
