/** Columns as a job has them. */
import { scratchFloats } from '../../model/scratch-memory.ts';
import type { SeriesColumns } from '../../model/series-columns.ts';

/** The same columns in scratch memory, bit for bit: inside of a job. */
export function inScratch(columns: SeriesColumns): SeriesColumns {
  const timestamps = scratchFloats(columns.timestamps.length);
  const values = scratchFloats(columns.values.length);
  timestamps.set(columns.timestamps);
  values.set(columns.values);
  return { ...columns, timestamps, values };
}
