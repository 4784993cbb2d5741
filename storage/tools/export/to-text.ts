/**
 * Series as OpenMetrics text with timestamps, which `import openmetrics`, promtool and a scrape parser read. What
 * the text cannot say is counted: native histograms, and staleness markers (a NaN would be something else).
 *
 *   name{label="value"} value seconds[.milliseconds]
 */
import { type Labels, METRIC_NAME } from '../../../model/labels.ts';
import { formatSample } from '../../../model/number-text.ts';
import type { TimeRange } from '../../../model/sample.ts';
import { StarlingError } from '../../../model/errors.ts';
import type { SourceSeries } from '../../block/cut.ts';
import { CHUNK_XOR, type ChunkBytes, chunkSampleCount } from '../../block/format.ts';
import { ChunkMerger, UndecodableChunk } from '../../block/merge-chunks.ts';
import { SeriesSamples } from '../../block/series-samples.ts';
import type { ExportSource } from './source.ts';
import { windowsOf } from './source.ts';

const STALE_LOW = 2;
const STALE_HIGH = 0x7ff0_0000;
const TEXT_CHARACTERS = 64 * 1024;

export interface ExportCounts {
  sampleCount: number;
  staleCount: number;
  histogramCount: number;
}

/** Writes the text of a range, its end included, through `out`. Throws what the source throws. */
export async function exportText(
  source: ExportSource,
  range: TimeRange,
  out: (text: string) => void,
): Promise<ExportCounts> {
  const writer = new TextWriter(out);
  for (const window of windowsOf(range, source.windowMs)) {
    const opened = await source.open(window);
    try {
      for await (const series of opened.series()) writer.put(series, window);
    } finally {
      await opened.close();
    }
  }
  writer.end();
  return writer.counts;
}

class TextWriter {
  readonly counts: ExportCounts = { sampleCount: 0, staleCount: 0, histogramCount: 0 };
  readonly #out: (text: string) => void;
  readonly #merger = new ChunkMerger();
  readonly #samples = new SeriesSamples();
  readonly #double = new Float64Array(1);
  readonly #words = new Uint32Array(this.#double.buffer);
  #text = '';

  constructor(out: (text: string) => void) {
    this.#out = out;
  }

  put({ chunks, labels }: SourceSeries, window: TimeRange): void {
    const name = seriesText(labels);
    for (const chunk of this.#merged(chunks, window, labels)) {
      if (chunk.encoding !== CHUNK_XOR) {
        this.counts.histogramCount += chunkSampleCount(chunk);
        continue;
      }
      this.#samples.clear();
      if (!this.#samples.addChunk(chunk)) throw undecodable(name);
      for (let i = 0; i < this.#samples.length; i++) this.#putSample(name, i);
    }
  }

  end(): void {
    this.#out(`${this.#text}# EOF\n`);
  }

  #merged(chunks: readonly ChunkBytes[], window: TimeRange, labels: Labels): readonly ChunkBytes[] {
    const outside = [
      { minTimeMs: Number.NEGATIVE_INFINITY, maxTimeMs: window.minTimeMs - 1 },
      { minTimeMs: window.maxTimeMs + 1, maxTimeMs: Number.POSITIVE_INFINITY },
    ];
    const sorted = [...chunks].sort((a, b) => a.minTimeMs - b.minTimeMs);
    try {
      return this.#merger.merge(sorted, outside);
    } catch (thrown) {
      if (thrown instanceof UndecodableChunk) throw undecodable(seriesText(labels));
      throw thrown;
    }
  }

  #putSample(name: string, i: number): void {
    const [low, high] = this.#samples.wordsAt(i);
    if (low === STALE_LOW && high === STALE_HIGH) {
      this.counts.staleCount++;
      return;
    }
    this.#words[0] = low;
    this.#words[1] = high;
    const value = formatSample(this.#double[0]!);
    this.#text += `${name} ${value} ${secondsText(this.#samples.timeAt(i))}\n`;
    this.counts.sampleCount++;
    if (this.#text.length < TEXT_CHARACTERS) return;
    this.#out(this.#text);
    this.#text = '';
  }
}

function undecodable(series: string): StarlingError {
  const facts = { block: 'of the export', file: 'chunks', offset: 0 };
  return new StarlingError('block.corrupt', {
    ...facts,
    why: `a chunk of ${series} does not decode`,
  });
}

function secondsText(timeMs: number): string {
  const sign = timeMs < 0 ? '-' : '';
  const whole = Math.abs(timeMs);
  const rest = whole % 1000;
  const fraction = rest === 0 ? '' : `.${String(rest).padStart(3, '0').replace(/0+$/, '')}`;
  return `${sign}${Math.floor(whole / 1000)}${fraction}`;
}

/** A label set as OpenMetrics writes it; names beyond the old characters are quoted. */
function seriesText(labels: Labels): string {
  let name = '';
  const parts: string[] = [];
  for (let i = 0; i < labels.length; i += 2) {
    const [label, value] = [labels[i]!, labels[i + 1]!];
    if (label === METRIC_NAME) {
      if (/^[a-zA-Z_:][a-zA-Z0-9_:]*$/.test(value)) name = value;
      else parts.unshift(quoted(value));
    } else {
      parts.push(
        `${/^[a-zA-Z_][a-zA-Z0-9_]*$/.test(label) ? label : quoted(label)}=${quoted(value)}`,
      );
    }
  }
  return parts.length === 0 ? name : `${name}{${parts.join(',')}}`;
}

function quoted(text: string): string {
  return `"${text.replaceAll('\\', '\\\\').replaceAll('"', '\\"').replaceAll('\n', '\\n')}"`;
}
