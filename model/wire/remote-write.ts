/**
 * Remote write 1.0, receiving: one pass over the protobuf bytes of a `prometheus.WriteRequest` into
 * columns, without an object per series or sample. Labels are not parsed here: the pass finds each
 * series' label bytes and hashes them (the *raw fingerprint*); who knows that fingerprint already
 * validated those bytes. The pass stops and resumes, so a large body never holds the loop.
 *
 *   WriteRequest { 1: TimeSeries*, 3: MetricMetadata* }   fields unknown to us are skipped
 *   TimeSeries   { 1: Label*, 2: Sample*, 3: Exemplar*, 4: Histogram* }
 *   Sample       { 1: double value (fixed64), 2: int64 timestamp (varint, ms) }
 *
 * Specification: Prometheus remote write 1.0, prompb/types.proto.
 */
import { StarlingError } from '../errors.ts';
import { type FingerprintKey, fingerprint } from './fingerprint.ts';

export const SERIES_PER_REQUEST_MAX = 2 ** 20;
export const SAMPLES_PER_REQUEST_MAX = 2 ** 20;
const HISTOGRAMS_PER_REQUEST_MAX = 2 ** 18;
const HISTOGRAMS_START = 64;
const RANGES_START = 64;
export const METADATA_PER_REQUEST_MAX = 2 ** 17;
export const EXEMPLARS_PER_REQUEST_MAX = 2 ** 17;

/** A request's series and samples as growing columns. Owned by one request at a time; pooled. */
export interface WriteColumns {
  seriesCount: number;
  sampleCount: number;
  histogramCount: number;
  metadataCount: number;
  exemplarCount: number;
  /** Four words a series: the hash of its label bytes as sent. */
  rawFingerprints: Uint32Array;
  /** Byte range of the series' label fields in the body. Equal ends: no labels. */
  labelStarts: Uint32Array;
  labelEnds: Uint32Array;
  /** End of the series' samples in the sample columns. */
  sampleEnds: Uint32Array;
  /** End of the series' native histograms in the columns of these. */
  histogramEnds: Uint32Array;
  /** Byte range of each histogram message in the body; nobody looked into it yet. */
  histogramStarts: Uint32Array;
  histogramStops: Uint32Array;
  /** The same of metadata, and of exemplars; and each exemplar's series, never falling. */
  metadataStarts: Uint32Array;
  metadataStops: Uint32Array;
  exemplarStarts: Uint32Array;
  exemplarStops: Uint32Array;
  exemplarSeries: Uint32Array;
  timestamps: Float64Array;
  /** Two words a sample, low first. */
  values: Uint32Array;
}

/** The pass pauses after so many. */
const METADATA_PER_SLICE = 4096;

/** A pass in progress over `view[0..length)`. */
export interface WriteRequestPass {
  readonly view: DataView;
  readonly length: number;
  readonly key: FingerprintKey;
  readonly columns: WriteColumns;
  offset: number;
  /** Where the series ends inside which the pass paused; 0: between two series. */
  seriesEnd: number;
  labelStart: number;
  labelEnd: number;
}

/** Fresh columns with room for about `series` series and `samples` samples; they grow as needed. */
export function createWriteColumns(series = 1024, samples = 2048): WriteColumns {
  return {
    seriesCount: 0,
    sampleCount: 0,
    histogramCount: 0,
    metadataCount: 0,
    exemplarCount: 0,
    rawFingerprints: new Uint32Array(series * 4),
    labelStarts: new Uint32Array(series),
    labelEnds: new Uint32Array(series),
    sampleEnds: new Uint32Array(series),
    histogramEnds: new Uint32Array(series),
    histogramStarts: new Uint32Array(HISTOGRAMS_START),
    histogramStops: new Uint32Array(HISTOGRAMS_START),
    // Most requests have none: room comes with the first.
    metadataStarts: new Uint32Array(0),
    metadataStops: new Uint32Array(0),
    exemplarStarts: new Uint32Array(0),
    exemplarStops: new Uint32Array(0),
    exemplarSeries: new Uint32Array(0),
    timestamps: new Float64Array(samples),
    values: new Uint32Array(samples * 2),
  };
}

/** Begins a pass; clears `columns`. */
export function beginWriteRequestPass(
  body: Uint8Array,
  length: number,
  key: FingerprintKey,
  columns: WriteColumns,
): WriteRequestPass {
  columns.seriesCount = 0;
  columns.sampleCount = 0;
  columns.histogramCount = 0;
  columns.metadataCount = 0;
  columns.exemplarCount = 0;
  const view = new DataView(body.buffer, body.byteOffset, length);
  return { view, length, key, columns, offset: 0, seriesEnd: 0, labelStart: 0, labelEnd: 0 };
}

/**
 * Reads up to `seriesMax` more series or four times as many samples, and may pause inside a long
 * series. True when the body is read.
 * Throws `protobuf.corrupt` for malformed bytes and `request.too_many_samples` over the bounds.
 */
export function continueWriteRequestPass(pass: WriteRequestPass, seriesMax: number): boolean {
  const { view, length, columns } = pass;
  const seriesStop = columns.seriesCount + seriesMax;
  const sampleStop = columns.sampleCount + seriesMax * 4;
  let at = pass.offset;
  while (at < length) {
    if (columns.seriesCount >= seriesStop || columns.sampleCount >= sampleStop) {
      pass.offset = at;
      return false;
    }
    if (pass.seriesEnd > 0) {
      at = readSeries(pass, at, sampleStop);
      continue;
    }
    const tag = view.getUint8(at);
    if (tag === 0x0a || tag === 0x1a) {
      const header = readLength(view, at + 1, length);
      const start = header.start;
      const end = start + header.length;
      if (tag === 0x0a) {
        beginSeries(pass, end);
        at = readSeries(pass, start, sampleStop);
      } else {
        noteMetadata(columns, start, end);
        at = end;
        if (columns.metadataCount % METADATA_PER_SLICE === 0 && at < length) {
          pass.offset = at;
          return false;
        }
      }
    } else {
      at = skipField(view, at, length);
    }
  }
  pass.offset = at;
  return true;
}

function beginSeries(pass: WriteRequestPass, end: number): void {
  pass.seriesEnd = end;
  pass.labelStart = 0;
  pass.labelEnd = 0;
}

/**
 * Hot: reads the open TimeSeries from `from` on and appends it to the columns. Returns its end, or,
 * paused at `sampleStop` samples, where to go on.
 */
function readSeries(pass: WriteRequestPass, from: number, sampleStop: number): number {
  const { view, columns, seriesEnd: end } = pass;
  let at = from;
  let { labelEnd, labelStart } = pass;
  while (at < end) {
    const fieldStart = at;
    const tag = view.getUint8(at);
    if (tag !== 0x0a && tag !== 0x12 && tag !== 0x1a && tag !== 0x22) {
      at = skipField(view, at, end);
      continue;
    }
    // Fast path: all four fields are length-delimited, and a label or sample is short.
    let size = at + 1 < end ? view.getUint8(at + 1) : 0x80;
    at += 2;
    if (size >= 0x80) {
      const header = readLength(view, fieldStart + 1, end);
      size = header.length;
      at = header.start;
    } else if (at + size > end) {
      throw corrupt('a length past the end', fieldStart);
    }
    if (tag === 0x0a) {
      if (labelEnd === 0) labelStart = fieldStart;
      labelEnd = at + size;
    } else if (tag === 0x12) {
      readSample(pass, at, at + size);
      if (columns.sampleCount >= sampleStop && at + size < end) {
        pass.labelStart = labelStart;
        pass.labelEnd = labelEnd;
        return at + size;
      }
    } else if (tag === 0x1a) {
      noteExemplar(columns, at, at + size);
    } else {
      noteHistogram(columns, at, at + size);
    }
    at += size;
  }
  const i = columns.seriesCount;
  if (i >= columns.labelStarts.length) growSeries(columns);
  columns.labelStarts[i] = labelStart;
  columns.labelEnds[i] = labelEnd;
  columns.sampleEnds[i] = columns.sampleCount;
  columns.histogramEnds[i] = columns.histogramCount;
  fingerprint(pass.key, view, labelStart, labelEnd, columns.rawFingerprints, i * 4);
  columns.seriesCount = i + 1;
  pass.seriesEnd = 0;
  return end;
}

/** Hot: reads one Sample in `[at, end)`; value and timestamp default to 0, as protobuf says. */
function readSample(pass: WriteRequestPass, from: number, end: number): void {
  const { view, columns } = pass;
  const i = columns.sampleCount;
  if (i * 2 >= columns.values.length) growSamples(columns);
  let low = 0;
  let high = 0;
  let timestampMs = 0;
  let at = from;
  while (at < end) {
    const tag = view.getUint8(at);
    if (tag === 0x09) {
      if (at + 9 > end) throw corrupt('a truncated value', at);
      low = view.getUint32(at + 1, true);
      high = view.getUint32(at + 5, true);
      at += 9;
    } else if (tag === 0x10) {
      // 64-bit varint in three parts (28 + 28 + 8 bits), so that 2^53 stays exact
      let shift = 0;
      let bits0 = 0;
      let bits28 = 0;
      let bits56 = 0;
      let byte = 0x80;
      at++;
      while (byte >= 0x80) {
        if (at >= end || shift > 63) throw corrupt('a malformed varint', at);
        byte = view.getUint8(at++);
        if (shift < 28) bits0 |= (byte & 0x7f) << shift;
        else if (shift < 56) bits28 |= (byte & 0x7f) << (shift - 28);
        else bits56 |= (byte & 0x7f) << (shift - 56);
        shift += 7;
      }
      timestampMs =
        (bits56 & 0x80) === 0
          ? bits0 + bits28 * 0x1000_0000 + (bits56 & 0xff) * 2 ** 56
          : -(
              0xfff_ffff -
              bits0 +
              (0xfff_ffff - bits28) * 0x1000_0000 +
              (255 - (bits56 & 0xff)) * 2 ** 56 +
              1
            );
    } else {
      at = skipField(view, at, end);
    }
  }
  columns.timestamps[i] = timestampMs;
  columns.values[i * 2] = low;
  columns.values[i * 2 + 1] = high;
  columns.sampleCount = i + 1;
}

/** Reads a length that must fit before `end`. */
export function readLength(
  view: DataView,
  from: number,
  end: number,
): { readonly length: number; readonly start: number } {
  let length = 0;
  let scale = 1;
  for (let at = from; at < end && at < from + 5; at++) {
    const byte = view.getUint8(at);
    length += (byte & 0x7f) * scale;
    if (byte < 0x80) {
      if (length > end - at - 1) throw corrupt('a length past the end', from);
      return { length, start: at + 1 };
    }
    scale *= 128;
  }
  throw corrupt('a malformed length', from);
}

/** Skips one field of any known wire type; returns the offset after it. */
export function skipField(view: DataView, from: number, end: number): number {
  let at = from;
  let tag = 0;
  let scale = 1;
  for (; ; at++) {
    if (at >= end || at >= from + 5) throw corrupt('a malformed tag', from);
    const byte = view.getUint8(at);
    tag += (byte & 0x7f) * scale;
    scale *= 128;
    if (byte < 0x80) break;
  }
  at++;
  if (Math.floor(tag / 8) === 0) throw corrupt('field number 0', from);
  switch (tag & 7) {
    case 0:
      for (let i = 0; i < 10; i++, at++) {
        if (at >= end) break;
        if (view.getUint8(at) < 0x80) return at + 1;
      }
      throw corrupt('a malformed varint', from);
    case 1:
      at += 8;
      break;
    case 2: {
      const header = readLength(view, at, end);
      return header.start + header.length;
    }
    case 5:
      at += 4;
      break;
    default:
      throw corrupt(`wire type ${tag & 7}`, from);
  }
  if (at > end) throw corrupt('a truncated field', from);
  return at;
}

function noteHistogram(columns: WriteColumns, start: number, stop: number): void {
  const i = columns.histogramCount;
  if (i === columns.histogramStarts.length) {
    if (i >= HISTOGRAMS_PER_REQUEST_MAX) throw tooMany('histograms', HISTOGRAMS_PER_REQUEST_MAX);
    columns.histogramStarts = grown(columns.histogramStarts, new Uint32Array(i * 2));
    columns.histogramStops = grown(columns.histogramStops, new Uint32Array(i * 2));
  }
  columns.histogramStarts[i] = start;
  columns.histogramStops[i] = stop;
  columns.histogramCount = i + 1;
}

function noteMetadata(columns: WriteColumns, start: number, stop: number): void {
  const i = columns.metadataCount;
  if (i === columns.metadataStarts.length) {
    if (i >= METADATA_PER_REQUEST_MAX) throw tooMany('metadata', METADATA_PER_REQUEST_MAX);
    const count = Math.max(RANGES_START, i * 2);
    columns.metadataStarts = grown(columns.metadataStarts, new Uint32Array(count));
    columns.metadataStops = grown(columns.metadataStops, new Uint32Array(count));
  }
  columns.metadataStarts[i] = start;
  columns.metadataStops[i] = stop;
  columns.metadataCount = i + 1;
}

/** Notes an exemplar of the open series. */
function noteExemplar(columns: WriteColumns, start: number, stop: number): void {
  const i = columns.exemplarCount;
  if (i === columns.exemplarStarts.length) {
    if (i >= EXEMPLARS_PER_REQUEST_MAX) throw tooMany('exemplars', EXEMPLARS_PER_REQUEST_MAX);
    const count = Math.max(RANGES_START, i * 2);
    columns.exemplarStarts = grown(columns.exemplarStarts, new Uint32Array(count));
    columns.exemplarStops = grown(columns.exemplarStops, new Uint32Array(count));
    columns.exemplarSeries = grown(columns.exemplarSeries, new Uint32Array(count));
  }
  columns.exemplarStarts[i] = start;
  columns.exemplarStops[i] = stop;
  columns.exemplarSeries[i] = columns.seriesCount;
  columns.exemplarCount = i + 1;
}

function growSeries(columns: WriteColumns): void {
  if (columns.seriesCount >= SERIES_PER_REQUEST_MAX)
    throw tooMany('series', SERIES_PER_REQUEST_MAX);
  const count = columns.labelStarts.length * 2;
  columns.rawFingerprints = grown(columns.rawFingerprints, new Uint32Array(count * 4));
  columns.labelStarts = grown(columns.labelStarts, new Uint32Array(count));
  columns.labelEnds = grown(columns.labelEnds, new Uint32Array(count));
  columns.sampleEnds = grown(columns.sampleEnds, new Uint32Array(count));
  columns.histogramEnds = grown(columns.histogramEnds, new Uint32Array(count));
}

function growSamples(columns: WriteColumns): void {
  if (columns.sampleCount >= SAMPLES_PER_REQUEST_MAX)
    throw tooMany('samples', SAMPLES_PER_REQUEST_MAX);
  const count = columns.timestamps.length * 2;
  columns.timestamps = grown(columns.timestamps, new Float64Array(count));
  columns.values = grown(columns.values, new Uint32Array(count * 2));
}

function grown<Column extends Uint32Array | Float64Array>(from: Column, to: Column): Column {
  to.set(from);
  return to;
}

function tooMany(what: string, countMax: number): StarlingError {
  return new StarlingError('request.too_many_samples', { what, countMax });
}

function corrupt(why: string, offset: number): StarlingError {
  return new StarlingError('protobuf.corrupt', { why, offset });
}
