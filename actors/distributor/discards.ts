/**
 * What of a push is dropped without the request failing for it, counted by reason: the words are the ones
 * that Mimir's metrics have.
 */
import type { ErrorId, StarlingError } from '../../model/errors.ts';
import type { ExemplarDrop } from '../../model/wire/exemplar-message.ts';

const METADATA_REASONS: Partial<Record<ErrorId, string>> = {
  'metadata.missing_metric_name': 'metadata_missing_metric_name',
  'metadata.metric_name_too_long': 'metric_name_too_long',
  'metadata.unit_too_long': 'unit_too_long',
  'metadata.invalid': 'metadata_invalid',
};

export class Discards {
  readonly metadataByReason = new Map<string, number>();
  readonly exemplarsByReason = new Map<string, number>();

  metadata({ id }: StarlingError): void {
    add(this.metadataByReason, METADATA_REASONS[id] ?? id);
  }

  exemplar(reason: ExemplarDrop | 'exemplar_series_invalid'): void {
    add(this.exemplarsByReason, reason);
  }
}

function add(counts: Map<string, number>, reason: string): void {
  counts.set(reason, (counts.get(reason) ?? 0) + 1);
}
