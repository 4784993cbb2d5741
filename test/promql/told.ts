/** An answer as a client sees it, for comparing answers. */
import { StarlingError } from '../../model/errors.ts';
import { type QueryResult, encodeResult } from '../../promql/index.ts';

/** The JSON of what `work` returns with its annotations, or the error it throws. */
export function told(work: () => QueryResult): string {
  try {
    const result = work();
    const { infos, warnings } = result;
    const notes = JSON.stringify({ warnings, infos });
    return `${Buffer.from(encodeResult(result)).toString()} ${notes}`;
  } catch (error) {
    if (!(error instanceof StarlingError)) throw error;
    return `${error.id}: ${error.message}`;
  }
}
