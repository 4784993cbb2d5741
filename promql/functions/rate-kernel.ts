/**
 * `fillRateRow` by WebAssembly (rate-row.wat), for columns and cells in scratch memory: a third of the time, because no
 * access is checked against an array's length, and no pass for resets goes before. Samples that stand for several, and
 * counters that tell their beginnings, are left to rate-row.ts.
 */
import { ScratchKernel, isScratch } from '../../model/scratch-memory.ts';
import type { SeriesColumns } from '../../model/series-columns.ts';
import type { RateShape } from './rate-row.ts';
import { rateRowWasm } from './rate-row-wasm.ts';

interface RateExports {
  fill(
    times: number,
    values: number,
    length: number,
    out: number,
    present: number,
    steps: number,
    firstEndMs: number,
    stepMs: number,
    rangeMs: number,
    isCounter: 0 | 1,
    perS: number,
  ): void;
}

const kernel = new ScratchKernel<RateExports>(rateRowWasm);

/** The cells of a block that was empty. */
interface Cells {
  readonly values: Float64Array;
  readonly present: Uint8Array;
}

/** Fills the cells of a row. */
export type FillRow = (row: number) => void;

/** Undefined: `fillRateRow` must do it. */
export function rateKernel(
  columns: SeriesColumns,
  { firstEndMs, isCounter, isPerSecond, rangeMs, stepMs, steps, weightBefore }: RateShape,
  out: Cells,
): FillRow | undefined {
  const { exports } = kernel;
  const { ends, startTimes, timestamps, values } = columns;
  if (exports === undefined || startTimes !== undefined || weightBefore !== undefined)
    return undefined;
  if (![timestamps, values, out.values, out.present].every(isScratch)) return undefined;
  const perS = isPerSecond ? rangeMs / 1000 : 1;
  return (row) => {
    const start = row === 0 ? 0 : ends[row - 1]!;
    exports.fill(
      timestamps.byteOffset + start * 8,
      values.byteOffset + start * 8,
      (ends[row]! - start) * 8,
      out.values.byteOffset + row * steps * 8,
      out.present.byteOffset + row * steps,
      steps,
      firstEndMs,
      stepMs,
      rangeMs,
      isCounter ? 1 : 0,
      perS,
    );
  };
}
