/**
 * A request to delete series, as it stands in the bucket: one small document, written once.
 *
 *   __markers__/<tenant>/delete-series/<ULID>.json         what is deleted
 *   __markers__/<tenant>/delete-series/<ULID>.cancelled    it is not, any more
 *   __markers__/<tenant>/delete-series/<ULID>.processed    no block of the bucket holds anything of it
 *
 * The states are empty objects beside it, so that one listing tells all. A document that does not hold deletes nothing.
 */
import { compileMatcher } from '../../model/matchers.ts';
import { StarlingError } from '../../model/errors.ts';
import { type TenantId, parseTenantId } from '../../model/ids.ts';
import { type BlockId, parseBlockId } from '../block/ulid.ts';
import { BadDocument, JsonObject } from '../bucket/json.ts';
import { type Deletion, matchesAll } from './deletion.ts';

export const REQUEST_BYTES_MAX = 256 * 1024;
const REQUEST_VERSION = 1;
/** What one request may have. */
export const REQUEST_SELECTORS_MAX = 100;
export const SELECTOR_MATCHERS_MAX = 100;

export interface DeletionRequest extends Deletion {
  readonly id: BlockId;
  readonly createdAtMs: number;
}

/** `cancelled` wins over all: what is doubtful is not deleted. */
export type RequestMark = 'cancelled' | 'processed';

const DELETIONS_PREFIX = '__markers__/';
const KEY_PATTERN =
  /^__markers__\/([^/]+)\/delete-series\/([0-9A-Z]{26})\.(json|cancelled|processed)$/;

/** Below it are the requests of a tenant; without one, those of all, among other things. */
export function requestsPrefix(tenant?: TenantId): string {
  return tenant === undefined ? DELETIONS_PREFIX : `${DELETIONS_PREFIX}${tenant}/delete-series/`;
}

export function requestKey(tenant: TenantId, id: BlockId, kind: RequestMark | 'json'): string {
  return `${DELETIONS_PREFIX}${tenant}/delete-series/${id}.${kind}`;
}

/** What a key of the bucket stands for; undefined: it is somebody else's. */
export function parseRequestKey(key: string):
  | {
      readonly tenant: TenantId;
      readonly id: BlockId;
      readonly kind: RequestMark | 'json';
    }
  | undefined {
  const match = KEY_PATTERN.exec(key);
  const id = parseBlockId(match?.[2] ?? '');
  if (match === null || id === undefined) return undefined;
  try {
    const kind = match[3] as RequestMark | 'json'; // the pattern has no other
    return { tenant: parseTenantId(match[1]!), id, kind };
  } catch (thrown) {
    if (thrown instanceof StarlingError) return undefined;
    throw thrown;
  }
}

export function encodeRequest({ createdAtMs, id, range, selectors }: DeletionRequest): Uint8Array {
  return Buffer.from(
    JSON.stringify({
      version: REQUEST_VERSION,
      request_id: id,
      created_at: createdAtMs,
      start_time: range.minTimeMs,
      end_time: range.maxTimeMs,
      selectors: selectors.map((matchers) => ({
        matchers: matchers.map(({ name, type, value }) => ({ name, type, value })),
      })),
    }),
  );
}

/** Throws `BadDocument` for anything that leaves a doubt. */
export function parseRequest(bytes: Uint8Array, id: BlockId): DeletionRequest {
  const root = JsonObject.parse(Buffer.from(bytes).toString());
  const version = root.integer('version');
  if (version !== REQUEST_VERSION) {
    throw new BadDocument(`version ${version}, this one reads version ${REQUEST_VERSION}`);
  }
  if (root.text('request_id') !== id) throw new BadDocument('request_id is not its name');
  const createdAtMs = root.integer('created_at');
  const range = { minTimeMs: root.integer('start_time'), maxTimeMs: root.integer('end_time') };
  if (range.minTimeMs > range.maxTimeMs) throw new BadDocument('start_time is after end_time');
  if (range.maxTimeMs > createdAtMs) throw new BadDocument('end_time is after created_at');
  const selectors = root.list('selectors').map((one) => one.list('matchers').map(parseMatcher));
  const problem = problemOf(selectors);
  if (problem !== undefined) throw new BadDocument(problem);
  return { id, createdAtMs, range, selectors };
}

const TYPES = ['=', '!=', '=~', '!~'] as const;

function parseMatcher(value: JsonObject): Deletion['selectors'][number][number] {
  const text = value.text('type');
  const type = TYPES.find((one) => one === text);
  if (type === undefined) throw new BadDocument(`${JSON.stringify(text)} is no matcher`);
  return { name: value.text('name'), type, value: value.text('value') };
}

/** Why these selectors cannot be a request's; undefined: they can. */
export function problemOf(selectors: Deletion['selectors']): string | undefined {
  if (selectors.length === 0) return 'there is no selector';
  if (selectors.length > REQUEST_SELECTORS_MAX) {
    return `there are ${selectors.length} selectors, the limit is ${REQUEST_SELECTORS_MAX}`;
  }
  for (const matchers of selectors) {
    if (matchers.length > SELECTOR_MATCHERS_MAX) {
      return `a selector has ${matchers.length} matchers, the limit is ${SELECTOR_MATCHERS_MAX}`;
    }
    try {
      if (matchesAll(matchers.map(compileMatcher))) return 'a selector matches every series';
    } catch (thrown) {
      if (thrown instanceof StarlingError) return thrown.message;
      throw thrown;
    }
  }
  return undefined;
}
