/**
 * The seams: everything a node needs of the world outside its own memory. `platform/node/` is the
 * real side, `sim/` the simulated one; the code between is the same. Rule: if two runs with the
 * same inputs could differ because of it, it goes through here.
 */

import type { Odd, Probe } from './rare.ts';

/** A pending timer. */
export interface Timer {
  cancel(): void;
}

export interface Clock {
  /** Wall clock, Unix milliseconds. May step in either direction; only for sample times and people. */
  wallMs(): number;
  /** Milliseconds since an arbitrary origin, never stepping back. For deadlines and intervals. */
  monotonicMs(): number;
  /** Calls back once after `delayMs`. */
  after(delayMs: number, callback: () => void): Timer;
  /** Calls back on the next turn of the loop, after pending I/O: how long work yields. */
  nextTurn(callback: () => void): void;
  /** Calls back in this turn, once all promises that are settled have been followed: how calls become one. */
  afterPromises(callback: () => void): void;
}

export interface Random {
  /** Uniform in [0, 1). */
  float(): number;
  /** Uniform in [0, 2^32). */
  uint32(): number;
  /** `count` unpredictable bytes (cryptographic on the real side). */
  bytes(count: number): Uint8Array;
}

/** Pure computations that live in native code. The simulator may use the real ones. */
export interface Ciphers {
  /** AES-256-GCM: ciphertext followed by the 16-byte tag. `nonce` is 12 bytes. */
  seal(key: Uint8Array, nonce: Uint8Array, aad: Uint8Array, plain: Uint8Array): Uint8Array;
  /** The plaintext, or undefined when the tag does not verify. Never throws for bad input. */
  open(
    key: Uint8Array,
    nonce: Uint8Array,
    aad: Uint8Array,
    sealed: Uint8Array,
  ): Uint8Array | undefined;
  /** HKDF-SHA256. */
  deriveKey(secret: Uint8Array, salt: Uint8Array, info: string, byteCount: number): Uint8Array;
  hmacSha256(key: Uint8Array, data: Uint8Array): Uint8Array;
}

export interface FileStat {
  readonly kind: 'file' | 'directory';
  readonly sizeBytes: number;
}

/** An open file. Writes name their offset; nothing is durable before `sync` resolves. */
export interface DiskFile {
  readonly path: string;
  /** Writes all of `bytes` at `offset`. A rejection may leave any prefix of them behind. */
  write(bytes: Uint8Array, offset: number): Promise<void>;
  /** Reads up to `byteCount` bytes; shorter only at the end of the file. */
  read(offset: number, byteCount: number): Promise<Uint8Array>;
  /** The same, stopping the loop: for a kilobyte that the kernel most likely has at hand. */
  readNow(offset: number, byteCount: number): Uint8Array;
  truncate(sizeBytes: number): Promise<void>;
  /** fdatasync: data and size are durable when it resolves. A rejection must never be retried. */
  sync(): Promise<void>;
  close(): Promise<void>;
}

/** Held while a process owns a directory; released when it dies. */
export interface DiskLock {
  release(): Promise<void>;
}

/** Paths are absolute and use '/'. Errors carry `code` as Node's do (ENOENT, ENOSPC, EIO, …). */
export interface Disk {
  open(path: string, mode: 'read' | 'read-write' | 'create'): Promise<DiskFile>;
  readFile(path: string): Promise<Uint8Array>;
  /** Names in a directory, sorted; [] when it does not exist. */
  list(path: string): Promise<readonly string[]>;
  stat(path: string): Promise<FileStat | undefined>;
  /** Makes a directory and its parents, as far as they are missing. */
  makeDirectory(path: string): Promise<void>;
  rename(from: string, to: string): Promise<void>;
  remove(path: string): Promise<void>;
  /** Removes an empty directory; ENOTEMPTY when it is not. */
  removeDirectory(path: string): Promise<void>;
  removeTree(path: string): Promise<void>;
  /** Makes creations, renames and removals inside a directory durable. */
  syncDirectory(path: string): Promise<void>;
  /** Locks a directory. Throws `disk.locked` when another living process holds it. */
  lock(path: string): Promise<DiskLock>;
}

/** A bound UDP socket. `address` is 'ip:port' ('[v6]:port'), with the port really bound. */
export interface DatagramSocket {
  readonly address: string;
  /** Best effort, never throws; an unusable address is counted and dropped. */
  send(address: string, bytes: Uint8Array): void;
  close(): Promise<void>;
}

export interface Datagrams {
  bind(
    address: string,
    onDatagram: (bytes: Uint8Array, from: string) => void,
  ): Promise<DatagramSocket>;
}

/** Which of a peer's three streams: control (small, urgent), write, read (bulk). Own connections. */
export type Lane = 'control' | 'read' | 'write';

/**
 * One bidirectional stream of byte frames between two nodes. Frames arrive whole, in order, at most
 * once; when the stream breaks, `onClose` fires exactly once and undelivered frames are lost.
 */
export interface RpcStream {
  readonly lane: Lane;
  /** 'host:port' of the other end, as dialled or as seen. */
  readonly remoteAddress: string;
  /** Queues a frame. False: the buffer is over its bound, stop until `onDrain`. The frame is kept either way. */
  send(frame: Uint8Array): boolean;
  onFrame(callback: (frame: Uint8Array) => void): void;
  onDrain(callback: () => void): void;
  /** `why` is for the log. Called also after a local `close`. */
  onClose(callback: (why: string) => void): void;
  close(why: string): void;
}

export interface RpcListener {
  readonly address: string;
  close(): Promise<void>;
}

export interface RpcStreams {
  listen(address: string, onStream: (stream: RpcStream) => void): Promise<RpcListener>;
  /** Returns at once; a failed connection shows as `onClose`. */
  connect(address: string, lane: Lane): RpcStream;
}

/** A job a worker can run: a name plus data, never a closure, so that the simulator runs it inline. */
export interface Workers {
  /**
   * Runs the job `name` with `input`. Buffers in `transfer` move to the worker. Rejects with the
   * job's error (StarlingError survives the way), or with `node.overloaded` when the queue is full.
   * When `signal` aborts, a job that waits is dropped, and one that runs has a second to notice by
   * itself before its thread is ended; either way `run` rejects with the signal's reason.
   */
  run<Output>(
    name: string,
    input: unknown,
    transfer?: readonly ArrayBuffer[],
    signal?: AbortSignal,
  ): Promise<Output>;
  close(): Promise<void>;
}

/** The bytes of an object to be. They are read again when an attempt fails, so they must stay the same. */
export interface BucketBody {
  readonly sizeBytes: number;
  /** Exactly `byteCount` bytes, all of them inside the body. */
  read(offset: number, byteCount: number): Promise<Uint8Array>;
}

export interface BucketObject {
  readonly key: string;
  readonly sizeBytes: number;
}

export interface BucketListOptions {
  /** What keys begin with: '' for all; with a delimiter it ends in '/'. */
  readonly prefix: string;
  /** Keys that go on after the next '/' are told as one prefix. */
  readonly delimiter?: '/';
  /** `next` of the page before. */
  readonly page?: string;
  /** The most objects and prefixes of one page. */
  readonly countMax: number;
}

export interface BucketPage {
  /** Both sorted by their UTF-8 bytes. */
  readonly objects: readonly BucketObject[];
  /** Each ends in '/'. Empty without a delimiter. */
  readonly prefixes: readonly string[];
  /** Names the next page; undefined after the last one. */
  readonly next: string | undefined;
}

/**
 * An object store. Keys are paths without a leading '/', see `checkObjectKey`. An object is whole or not
 * there; a put replaces. Every call ends by a deadline of its own, or when `signal` aborts.
 *
 * All may throw `bucket.unavailable`: retrying later may help, and a put or delete that threw may have been
 * done or not. `bucket.denied`: retrying does not help. `bucket.key_invalid`. Listings may lag.
 */
export interface Bucket {
  /** Its URL, without credentials. */
  readonly name: string;
  /**
   * The bytes from `offset`, at most `byteCount`, fewer only where the object ends.
   * Throws `bucket.not_found`.
   */
  getRange(
    key: string,
    offset: number,
    byteCount: number,
    signal?: AbortSignal,
  ): Promise<Uint8Array>;
  /** Throws `bucket.too_large` when the store does not take so much. */
  put(key: string, body: BucketBody | Uint8Array, signal?: AbortSignal): Promise<void>;
  /** Undefined when there is no such object. */
  head(key: string, signal?: AbortSignal): Promise<BucketObject | undefined>;
  list(options: BucketListOptions, signal?: AbortSignal): Promise<BucketPage>;
  /** Deleting what is not there succeeds. */
  delete(key: string, signal?: AbortSignal): Promise<void>;
  close(): Promise<void>;
}

export type LogFacts = Readonly<Record<string, unknown>>;

export interface Log {
  debug(event: string, facts?: LogFacts): void;
  info(event: string, facts?: LogFacts): void;
  warn(event: string, facts?: LogFacts): void;
  error(event: string, facts?: LogFacts): void;
  /** A log that adds `facts` to each line. */
  child(facts: LogFacts): Log;
  /** Only a simulator counts rare branches. */
  readonly probe?: Probe;
}

/** Everything at once: what a node is given. */
export interface Platform {
  readonly clock: Clock;
  readonly random: Random;
  readonly ciphers: Ciphers;
  readonly disk: Disk;
  readonly datagrams: Datagrams;
  readonly rpc: RpcStreams;
  readonly workers: Workers;
  readonly bucket: Bucket;
  readonly log: Log;
  /** Only a simulator has places do the unusual. */
  readonly odd?: Odd;
}
