/**
 * Who this data directory is. An instance is its id plus its boot counter, both kept here; the store
 * id tells a wiped directory from the one that others remember.
 *
 *   <data directory>/FORMAT     one number: the layout of everything inside; newer is refused
 *   <data directory>/IDENTITY   JSON: instanceId, storeId, bootCounter (the last one given out), and
 *                               clusterLabel once it was started with one, and last the crc32c of the line
 *                               without it; one that was written before there was a checksum has none
 *   lock on the directory       held while the process lives
 *
 * The raised boot counter is durable before `openIdentity` returns: no two boots share one.
 */
import { StarlingError } from '../model/errors.ts';
import { type InstanceId, parseInstanceId } from '../model/ids.ts';
import { crc32c } from '../model/wire/crc32c.ts';
import { makeDurableDirectory } from '../platform/durable-directory.ts';
import { diskFailed, readFileIfThere, replaceFile } from '../platform/durable-file.ts';
import type { Disk, DiskLock, Random } from '../platform/platform.ts';
import { COUNTER_MAX, type StoreId } from './registry/index.ts';

export const DATA_FORMAT = 1;
export const FORMAT_FILE = 'FORMAT';
export const IDENTITY_FILE = 'IDENTITY';
/** Far above what either file can hold: a longer one is not ours. */
const FILE_BYTES_MAX = 4096;

export interface IdentityOptions {
  readonly disk: Disk;
  readonly random: Random;
  readonly dataDirectory: string;
  /** Wished for; an existing directory of another instance is refused. Generated once if absent. */
  readonly instanceId?: InstanceId;
  /** The cluster's label; an existing directory of another cluster is refused. */
  readonly clusterLabel?: string;
}

interface IdentityContent {
  readonly instanceId: InstanceId;
  readonly storeId: StoreId;
  readonly bootCounter: number;
  readonly clusterLabel: string | undefined;
}

/** What the file says. */
interface WrittenIdentity extends IdentityContent {
  /** None: it was written before there was one. */
  readonly checksum: string | undefined;
}

const WAY_OUT = 'restore the file, or wipe the whole data directory to come back empty';
/** All keys of the file: one that is not here is a damaged one, perhaps of the checksum. */
const IDENTITY_KEYS = ['instanceId', 'storeId', 'bootCounter', 'clusterLabel', 'crc32c'];

/**
 * Locks the directory, checks its format, and raises its boot counter. Throws `disk.locked`,
 * `disk.format_newer`, `disk.other_instance`, `disk.other_cluster` or `disk.failed`, and holds no lock
 * then.
 */
export async function openIdentity(options: IdentityOptions): Promise<Identity> {
  const { dataDirectory, disk } = options;
  let lock: DiskLock | undefined;
  try {
    await makeDurableDirectory(disk, dataDirectory, 1);
    lock = await disk.lock(dataDirectory);
    await checkFormat(disk, dataDirectory);
    const known = await readIdentity(disk, dataDirectory);
    const content = nextBoot(options, known);
    await saveIdentity(disk, dataDirectory, content);
    return new Identity(options, { content, isNew: known === undefined, lock });
  } catch (error) {
    await lock?.release().catch(() => undefined); // the first error is the one to tell
    throw diskFailed(dataDirectory, error);
  }
}

function nextBoot(options: IdentityOptions, known: IdentityContent | undefined): IdentityContent {
  const wanted = options.instanceId;
  if (known === undefined) {
    return {
      instanceId: wanted ?? parseInstanceId(`starling-${drawHex(options.random, 4)}`),
      storeId: drawHex(options.random, 16) as StoreId, // 16 bytes are 32 hex digits
      bootCounter: 1,
      clusterLabel: options.clusterLabel,
    };
  }
  const path = options.dataDirectory;
  if (wanted !== undefined && wanted !== known.instanceId) {
    throw new StarlingError('disk.other_instance', { path, found: known.instanceId, wanted });
  }
  const clusterLabel = options.clusterLabel ?? known.clusterLabel;
  if (known.clusterLabel !== undefined && clusterLabel !== known.clusterLabel) {
    const found = known.clusterLabel;
    throw new StarlingError('disk.other_cluster', { path, found, wanted: String(clusterLabel) });
  }
  return { ...known, clusterLabel, bootCounter: known.bootCounter + 1 };
}

function drawHex(random: Random, byteCount: number): string {
  return Buffer.from(random.bytes(byteCount)).toString('hex');
}

/** Refuses a newer layout before anything is written; stamps a directory that has none. */
async function checkFormat(disk: Disk, directory: string): Promise<void> {
  const path = `${directory}/${FORMAT_FILE}`;
  const bytes = await readFileIfThere(disk, path);
  if (bytes === undefined) {
    await replaceFile(disk, { directory, name: FORMAT_FILE }, Buffer.from(`${DATA_FORMAT}\n`));
    return;
  }
  const found = Buffer.from(bytes.subarray(0, FILE_BYTES_MAX)).toString('latin1').trim();
  if (!/^\d{1,9}$/.test(found)) throw notOurs(path, 'it does not hold a format number');
  if (Number(found) <= DATA_FORMAT) return;
  throw new StarlingError('disk.format_newer', { path, found, supported: String(DATA_FORMAT) });
}

async function readIdentity(disk: Disk, directory: string): Promise<IdentityContent | undefined> {
  const path = `${directory}/${IDENTITY_FILE}`;
  const bytes = await readFileIfThere(disk, path);
  if (bytes === undefined) return undefined;
  const content = parseIdentity(bytes);
  if (content === undefined) throw notOurs(path, `it is damaged; ${WAY_OUT}`);
  if (content.checksum !== undefined && content.checksum !== checksumOf(identityText(content))) {
    throw notOurs(path, `it is damaged, its checksum is wrong; ${WAY_OUT}`);
  }
  return content;
}

function parseIdentity(bytes: Uint8Array): WrittenIdentity | undefined {
  if (bytes.length > FILE_BYTES_MAX) return undefined;
  try {
    const parsed: unknown = JSON.parse(Buffer.from(bytes).toString('utf8'));
    if (typeof parsed !== 'object' || parsed === null) return undefined;
    const content = parsed as Record<string, unknown>; // checked next
    if (!Object.keys(content).every((key) => IDENTITY_KEYS.includes(key))) return undefined;
    const { bootCounter, clusterLabel, crc32c: checksum, instanceId, storeId } = content;
    if (checksum !== undefined && typeof checksum !== 'string') return undefined;
    if (clusterLabel !== undefined && typeof clusterLabel !== 'string') return undefined;
    if (typeof instanceId !== 'string' || typeof storeId !== 'string') return undefined;
    if (!/^[0-9a-f]{32}$/.test(storeId) || typeof bootCounter !== 'number') return undefined;
    if (!Number.isInteger(bootCounter) || bootCounter < 1 || bootCounter >= COUNTER_MAX) {
      return undefined;
    }
    return {
      instanceId: parseInstanceId(instanceId),
      storeId: storeId as StoreId, // matched above
      bootCounter,
      clusterLabel,
      checksum,
    };
  } catch {
    return undefined; // the caller refuses the file by name
  }
}

async function saveIdentity(
  disk: Disk,
  directory: string,
  content: IdentityContent,
): Promise<void> {
  const checked = { ...fieldsOf(content), crc32c: checksumOf(identityText(content)) };
  const text = `${JSON.stringify(checked)}\n`;
  await replaceFile(disk, { directory, name: IDENTITY_FILE }, Buffer.from(text));
}

/** The line without its checksum. */
function identityText(content: IdentityContent): string {
  return `${JSON.stringify(fieldsOf(content))}\n`;
}

/** In the order of the file. */
function fieldsOf({ bootCounter, clusterLabel, instanceId, storeId }: IdentityContent): object {
  return { instanceId, storeId, bootCounter, clusterLabel };
}

function checksumOf(text: string): string {
  return crc32c(Buffer.from(text)).toString(16).padStart(8, '0');
}

function notOurs(path: string, why: string): StarlingError {
  return new StarlingError('disk.failed', { path, why });
}

/** An opened data directory. Owns its lock. */
export class Identity {
  readonly instanceId: InstanceId;
  readonly storeId: StoreId;
  /** True when this boot formatted the directory. */
  readonly isNew: boolean;
  readonly #disk: Disk;
  readonly #directory: string;
  readonly #clusterLabel: string | undefined;
  #bootCounter: number;
  #lock: DiskLock | undefined;

  constructor(
    options: IdentityOptions,
    opened: { readonly content: IdentityContent; readonly isNew: boolean; readonly lock: DiskLock },
  ) {
    this.instanceId = opened.content.instanceId;
    this.storeId = opened.content.storeId;
    this.isNew = opened.isNew;
    this.#bootCounter = opened.content.bootCounter;
    this.#clusterLabel = opened.content.clusterLabel;
    this.#disk = options.disk;
    this.#directory = options.dataDirectory;
    this.#lock = opened.lock;
  }

  get bootCounter(): number {
    return this.#bootCounter;
  }

  /** Raises the counter over one that others remember; durable when it resolves. Never lowers it. */
  async raiseBootCounter(bootCounter: number): Promise<void> {
    if (bootCounter <= this.#bootCounter) return;
    const { instanceId, storeId } = this;
    const clusterLabel = this.#clusterLabel;
    const content = { instanceId, storeId, bootCounter, clusterLabel };
    await saveIdentity(this.#disk, this.#directory, content);
    this.#bootCounter = bootCounter;
  }

  /** Releases the directory. May be called twice. */
  async close(): Promise<void> {
    const lock = this.#lock;
    this.#lock = undefined;
    await lock?.release();
  }
}
