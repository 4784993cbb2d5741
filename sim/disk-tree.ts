/**
 * What a simulated disk holds: live names and bytes, and what of them is durable.
 *
 *   file       live bytes    durable bytes + pending writes and truncations, in order
 *   directory  live names    durable names + a journal of changes, in order
 *
 * Losing power decides for each pending write whether it is kept, dropped or torn, and for each journal
 * entry whether it happened. A torn write came down in some of the file's sectors, of which each is the old
 * one or the new one. A rename is one entry: it happens whole or not at all.
 */
import type { Owner } from './loop.ts';
import type { SimRandom } from './random.ts';

export const SECTOR_BYTES = 512;
/** Of the writes that come down, so many are torn; of the sectors of one, so many come down. */
const TORN_CHANCE = 0.3;
const TORN_SECTOR_CHANCE = 0.7;

export type PendingWrite = { readonly writer: Owner; isDone: boolean } & (
  | { readonly kind: 'truncate'; readonly sizeBytes: number }
  | { readonly kind: 'write'; readonly offset: number; readonly bytes: Uint8Array }
);

export interface FileNode {
  readonly kind: 'file';
  readonly live: Bytes;
  readonly durable: Bytes;
  pending: PendingWrite[];
}

export interface DirectoryNode {
  readonly kind: 'directory';
  names: Map<string, TreeNode>;
  durableNames: Map<string, TreeNode>;
}

export type TreeNode = DirectoryNode | FileNode;

/** One change of names; `node` undefined: the name goes. */
export interface NameChange {
  readonly directory: DirectoryNode;
  readonly name: string;
  readonly node: TreeNode | undefined;
}

/** Bytes that grow by doubling. */
export class Bytes {
  #buffer = new Uint8Array(0);
  size = 0;

  write(bytes: Uint8Array, offset: number): void {
    if (bytes.length === 0) return; // also beyond the end: nothing grows
    const end = offset + bytes.length;
    if (end > this.#buffer.length) {
      const grown = new Uint8Array(Math.max(end, 2 * this.#buffer.length));
      grown.set(this.#buffer.subarray(0, this.size));
      this.#buffer = grown;
    }
    this.#buffer.set(bytes, offset);
    this.size = Math.max(this.size, end);
  }

  truncate(sizeBytes: number): void {
    if (sizeBytes > this.size) this.write(new Uint8Array(sizeBytes - this.size), this.size);
    this.#buffer.fill(0, sizeBytes, this.size);
    this.size = sizeBytes;
  }

  /** A copy of what lies there; shorter at the end of the file. */
  read(offset: number, byteCount: number): Uint8Array {
    return this.#buffer.slice(Math.min(offset, this.size), Math.min(this.size, offset + byteCount));
  }

  become(other: Bytes): void {
    this.truncate(0);
    this.write(other.read(0, other.size), 0);
  }
}

export function newDirectory(): DirectoryNode {
  return { kind: 'directory', names: new Map(), durableNames: new Map() };
}

export function newFile(): FileNode {
  return { kind: 'file', live: new Bytes(), durable: new Bytes(), pending: [] };
}

/** Does a write or truncation to `bytes`. */
export function applyWrite(bytes: Bytes, write: PendingWrite): void {
  if (write.kind === 'truncate') bytes.truncate(write.sizeBytes);
  else bytes.write(write.bytes, write.offset);
}

/** Does a part of a write: its first sectors, or some of them. */
function applyTornWrite(
  bytes: Bytes,
  write: PendingWrite & { readonly kind: 'write' },
  random: SimRandom,
): void {
  const { offset } = write;
  const end = offset + write.bytes.length;
  const isPrefix = random.chance(0.5);
  for (let from = offset; from < end;) {
    const to = Math.min(end, from - (from % SECTOR_BYTES) + SECTOR_BYTES);
    const isDown = random.chance(TORN_SECTOR_CHANCE);
    if (isDown) bytes.write(write.bytes.subarray(from - offset, to - offset), from);
    else if (isPrefix) return;
    from = to;
  }
}

export function applyChange(names: 'durableNames' | 'names', change: NameChange): void {
  const map = change.directory[names];
  if (change.node === undefined) map.delete(change.name);
  else map.set(change.name, change.node);
}

/** Makes durable what `writes` did; others stay pending. */
export function settleWrites(file: FileNode, writes: ReadonlySet<PendingWrite>): void {
  for (const write of file.pending) if (writes.has(write)) applyWrite(file.durable, write);
  file.pending = file.pending.filter((write) => !writes.has(write));
}

/** How a power loss treats what was pending. */
type Mood = 'all' | 'none' | 'prefix' | 'subset';
const MOODS: readonly Mood[] = ['all', 'none', 'prefix', 'subset', 'subset'];

/** Which of `items` survive: independent ones, or only the first few. */
function survivors<Item>(items: readonly Item[], random: SimRandom): readonly Item[] {
  const mood = random.pick(MOODS) ?? 'none';
  const prefix = random.below(items.length + 1);
  return items.filter((_, i) => {
    const isLucky = random.chance(0.5);
    if (mood === 'subset') return isLucky;
    return mood === 'all' || (mood === 'prefix' && i < prefix);
  });
}

/** The tree after power was lost and came back. */
export function losePower(
  root: DirectoryNode,
  journal: readonly (readonly NameChange[])[],
  random: SimRandom,
): void {
  for (const entry of survivors(journal, random)) {
    for (const change of entry) applyChange('durableNames', change);
  }
  settleTree(root, random);
}

function settleTree(directory: DirectoryNode, random: SimRandom): void {
  directory.names = new Map(directory.durableNames);
  for (const node of directory.durableNames.values()) {
    if (node.kind === 'directory') settleTree(node, random);
    else settleFile(node, random);
  }
}

function settleFile(file: FileNode, random: SimRandom): void {
  for (const write of survivors(file.pending, random)) {
    const isTorn = random.chance(TORN_CHANCE);
    if (isTorn && write.kind === 'write') applyTornWrite(file.durable, write, random);
    else applyWrite(file.durable, write);
  }
  file.pending = [];
  file.live.become(file.durable);
}

/** All files under a directory that are durable there, with their paths. */
export function* filesOf(
  directory: DirectoryNode,
  path: string,
): Generator<readonly [path: string, file: FileNode]> {
  for (const [name, node] of directory.durableNames) {
    if (node.kind === 'file') yield [`${path}/${name}`, node];
    else yield* filesOf(node, `${path}/${name}`);
  }
}

/** One bit of what is durable, and of what is cached of it, is another one from now on. */
export function flipBit(file: FileNode, random: SimRandom): void {
  const at = random.below(file.durable.size);
  const mask = 1 << random.below(8);
  for (const bytes of [file.durable, file.live]) {
    const byte = bytes.read(at, 1);
    if (byte.length === 1) bytes.write(new Uint8Array([byte[0]! ^ mask]), at);
  }
}
