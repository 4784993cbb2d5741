/**
 * How a select and the end of its answer cross between nodes: what every query sends and waits for. JSON and checks
 * written out, because both run in native code or at once: msgpack and schemas took a fifth of what a small select costs
 * the instance that answers, most of it before they are compiled. Times may be infinite, which JSON has no word for.
 *
 *   select    { scope: { tenant, selectors: [[{ name, type, value }]], range: { minTimeMs, maxTimeMs }, limit },
 *               hints: { newestOnly, projection?: { kind, names }, value?, settledBeforeMs?, part?: { index, count } },
 *               content? }
 *   its end   { digest, oldestTimeMs, heldFromMs?, content? }
 *
 * A time is a number, 'Infinity' or '-Infinity'; what is undefined is left out.
 */
import { StarlingError } from '../../model/errors.ts';
import { parseTenantId } from '../../model/ids.ts';
import type { Matcher } from '../../model/matchers.ts';
import { WINDOW_VALUES } from '../../model/window-value.ts';
import { CONTROL_BYTES_MAX, type Message, type PayloadCodec } from '../runtime/index.ts';
import type { SelectHints } from '../../storage/index.ts';
import type { DigestWish, ReadScope, ReadSummary } from './messages.ts';

/** What a select says besides who is told. */
interface Select {
  readonly scope: ReadScope;
  readonly hints: SelectHints;
  readonly content?: DigestWish | undefined;
}

type Fields = Readonly<Record<string, unknown>>;

const MATCHER_TYPES = ['=', '!=', '=~', '!~'] as const;
const PROJECTION_KINDS = ['only', 'without'] as const;
const DIGEST_WISHES = ['also', 'instead'] as const;

export const selectCodec: PayloadCodec = {
  encodeMessage: (message) => {
    const { content, hints, scope } = message as unknown as Select; // what `select` is asked with
    const { range } = scope;
    const { settledBeforeMs } = hints;
    return bytesOf({
      scope: {
        ...scope,
        range: { minTimeMs: timeText(range.minTimeMs), maxTimeMs: timeText(range.maxTimeMs) },
      },
      hints:
        settledBeforeMs === undefined
          ? hints
          : { ...hints, settledBeforeMs: timeText(settledBeforeMs) },
      content,
    });
  },
  decodeMessage: (bytes): Message => {
    const message = fields(parsed(bytes), 'a select');
    const hints = fields(message['hints'], 'hints');
    const decoded: Select = {
      scope: scopeOf(fields(message['scope'], 'a scope')),
      hints: hintsOf(hints),
      content: optional(message['content'], (value) => oneOf(DIGEST_WISHES, value, 'content')),
    };
    return { ...decoded, type: 'select' };
  },
  encodeAnswer: (answer) => {
    const { content, digest, heldFromMs, oldestTimeMs } = answer as ReadSummary; // what ends its answers
    return bytesOf({
      digest,
      oldestTimeMs: timeText(oldestTimeMs),
      heldFromMs: heldFromMs === undefined ? undefined : timeText(heldFromMs),
      content,
    });
  },
  decodeAnswer: (bytes): ReadSummary => {
    const answer = fields(parsed(bytes), 'the end of a select');
    return {
      digest: text(answer['digest'], 'digest'),
      oldestTimeMs: time(answer['oldestTimeMs'], 'oldestTimeMs'),
      heldFromMs: optional(answer['heldFromMs'], (value) => time(value, 'heldFromMs')),
      content: optional(answer['content'], (value) => text(value, 'content')),
    };
  },
};

function scopeOf(scope: Fields): ReadScope {
  const range = fields(scope['range'], 'a range');
  return {
    tenant: tenantOf(scope['tenant']),
    selectors: list(scope['selectors'], 'selectors').map((one) =>
      list(one, 'a selector').map(matcherOf),
    ),
    range: {
      minTimeMs: time(range['minTimeMs'], 'minTimeMs'),
      maxTimeMs: time(range['maxTimeMs'], 'maxTimeMs'),
    },
    limit: count(scope['limit'], 'limit'),
  };
}

function tenantOf(value: unknown): ReadScope['tenant'] {
  try {
    return parseTenantId(text(value, 'tenant'));
  } catch (error) {
    throw corrupt('tenant', error);
  }
}

function matcherOf(value: unknown): Matcher {
  const matcher = fields(value, 'a matcher');
  return {
    name: text(matcher['name'], 'name'),
    type: oneOf(MATCHER_TYPES, matcher['type'], 'type'),
    value: text(matcher['value'], 'value'),
  };
}

function hintsOf(hints: Fields): SelectHints {
  const { newestOnly } = hints;
  if (typeof newestOnly !== 'boolean') throw corrupt('newestOnly');
  return {
    newestOnly,
    projection: optional(hints['projection'], (value) => {
      const projection = fields(value, 'a projection');
      return {
        kind: oneOf(PROJECTION_KINDS, projection['kind'], 'kind'),
        names: list(projection['names'], 'names').map((name) => text(name, 'a name')),
      };
    }),
    value: optional(hints['value'], (value) => oneOf(WINDOW_VALUES, value, 'value')),
    settledBeforeMs: optional(hints['settledBeforeMs'], (value) => time(value, 'settledBeforeMs')),
    part: optional(hints['part'], (value) => {
      const part = fields(value, 'a part');
      const parts = count(part['count'], 'count');
      if (parts === 0) throw corrupt('count');
      return { index: count(part['index'], 'index'), count: parts };
    }),
  };
}

function bytesOf(value: object): Uint8Array {
  return Buffer.from(JSON.stringify(value));
}

function parsed(bytes: Uint8Array): unknown {
  if (bytes.length > CONTROL_BYTES_MAX) throw corrupt('its size');
  try {
    return JSON.parse(
      Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString(),
    ) as unknown; // checked field by field
  } catch (error) {
    throw corrupt('its JSON', error);
  }
}

function timeText(timeMs: number): number | string {
  return Number.isFinite(timeMs) ? timeMs : String(timeMs);
}

function time(value: unknown, what: string): number {
  if (typeof value === 'number') return value; // JSON has finite ones only
  if (value === 'Infinity') return Number.POSITIVE_INFINITY;
  if (value === '-Infinity') return Number.NEGATIVE_INFINITY;
  throw corrupt(what);
}

function fields(value: unknown, what: string): Fields {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw corrupt(what);
  return value as Fields; // an object of JSON
}

function list(value: unknown, what: string): readonly unknown[] {
  if (!Array.isArray(value)) throw corrupt(what);
  return value as readonly unknown[]; // each is checked where it is read
}

function text(value: unknown, what: string): string {
  if (typeof value !== 'string') throw corrupt(what);
  return value;
}

function count(value: unknown, what: string): number {
  if (typeof value !== 'number' || !Number.isSafeInteger(value) || value < 0) throw corrupt(what);
  return value;
}

function oneOf<Word extends string>(words: readonly Word[], value: unknown, what: string): Word {
  const word = words.find((one) => one === value);
  if (word === undefined) throw corrupt(what);
  return word;
}

function optional<Value>(value: unknown, read: (value: unknown) => Value): Value | undefined {
  return value === undefined || value === null ? undefined : read(value);
}

function corrupt(what: string, cause?: unknown): StarlingError {
  return new StarlingError('protobuf.corrupt', { why: `a select: ${what}`, offset: 0 }, cause);
}
