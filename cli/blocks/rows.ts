/** What `starling blocks` prints as rows of cells. Pure. Times are RFC 3339, sizes bytes. */
import type { BlockStatistics, Finding, ListedBlock } from '../../storage/tools/index.ts';
import type { Rows } from '../query/output.ts';

export function rowsOfListing(
  blocks: readonly (ListedBlock & { readonly tenant: string | undefined })[],
): Rows {
  const head = ['tenant', 'block', 'level', 'from', 'to', 'series', 'samples', 'chunks'];
  const tail = ['bytes', 'resolution', 'sources', 'marks', 'problem'];
  const rows = blocks.map(({ id, marks, meta, problem, sizeBytes, tenant }) => {
    const own = meta?.meta;
    return [
      tenant ?? '-',
      id,
      count(own?.level),
      timeText(own?.minTimeMs),
      timeText(own?.maxTimeMs),
      count(own?.stats.seriesCount),
      count(own?.stats.sampleCount),
      count(own?.stats.chunkCount),
      count(sizeBytes),
      meta === undefined || meta.resolutionMs === 0 ? 'raw' : `${meta.resolutionMs}ms`,
      count(own?.sources.length),
      marks.map(({ kind }) => kind).join(' '),
      problem ?? '',
    ];
  });
  return [[...head, ...tail], ...rows];
}

export function rowsOfStatistics(
  { labels, meta, seriesCount, sizeBytes, symbolCount, topPairs }: BlockStatistics,
  { marks }: Pick<ListedBlock, 'marks'>,
): Rows {
  const { chunkCount, floatSampleCount, histogramSampleCount, sampleCount } = meta.stats;
  const per = (a: number, b: number): string => (b === 0 ? '0' : (a / b).toFixed(2));
  const kinds: [string, string][] = [
    ['float samples', count(floatSampleCount)],
    ['histogram samples', count(histogramSampleCount)],
  ];
  const facts: [string, string][] = [
    ['block', meta.id],
    ['level', count(meta.level)],
    ['from', timeText(meta.minTimeMs)],
    ['to', timeText(meta.maxTimeMs)],
    ['sources', meta.sources.join(' ')],
    ['parents', meta.parents.map(({ id }) => id).join(' ')],
    ['marks', marks.map(({ details, kind }) => `${kind} (${details})`).join(' ')],
    ['bytes', count(sizeBytes)],
    ['series', count(seriesCount)],
    ['symbols', count(symbolCount)],
    ['chunks', count(chunkCount)],
    ['samples', count(sampleCount)],
    // Older versions of Prometheus do not tell the kinds apart.
    ...(floatSampleCount + histogramSampleCount === 0 ? [] : kinds),
    ['samples per chunk', per(sampleCount, chunkCount)],
    ['bytes per sample', per(sizeBytes, sampleCount)],
  ];
  return [
    ['what', 'name', 'values', 'bytes', 'series'],
    ...facts.map(([name, value]) => [name, value, '', '', '']),
    ...labels.map(({ name, seriesCount: series, valueBytes, valueCount }) => [
      'label',
      name,
      count(valueCount),
      count(valueBytes),
      count(series),
    ]),
    ...topPairs.map(({ name, seriesCount: series, value }) => [
      'pair',
      `${name}=${JSON.stringify(value)}`,
      '',
      '',
      count(series),
    ]),
  ];
}

export function rowsOfFindings(findings: readonly (Finding & { readonly block: string })[]): Rows {
  const rows = findings.map(({ block, file, id, offset, series, what }) => {
    return [block, id, file, count(offset), series ?? '', what];
  });
  return [['block', 'finding', 'file', 'offset', 'series', 'what'], ...rows];
}

function count(value: number | undefined): string {
  return value === undefined ? '' : String(value);
}

function timeText(timeMs: number | undefined): string {
  if (timeMs === undefined) return '';
  const date = new Date(timeMs);
  return Number.isNaN(date.getTime()) ? String(timeMs) : date.toISOString();
}
