/**
 * A window of samples of one series, and the type of the functions over it. The object is reused
 * for every window of a call, so that the hot loop allocates nothing.
 */
export interface Window {
  times: Float64Array;
  values: Float64Array;
  /** As in the columns. */
  startTimes?: Float64Array | undefined;
  /** As in the columns. */
  weights?: Float64Array | undefined;
  /** The samples are `[from, to)`, at least `samplesMin` of the function. */
  from: number;
  to: number;
  /** The window is (startMs, endMs]. */
  startMs: number;
  endMs: number;
  /** The step that asks; differs from endMs by offset and `@`. */
  stepMs: number;
  /** The scalar arguments at this step. */
  a: number;
  b: number;
}

export type WindowKernel = (window: Window) => number;

export interface WindowFunction {
  readonly kernel: WindowKernel;
  /** Windows with fewer samples have no answer. */
  readonly samplesMin: number;
  readonly keepsName?: boolean;
  /** True when the kernel reads `stepMs`, so that equal windows may have different answers. */
  readonly readsStep?: boolean;
}
