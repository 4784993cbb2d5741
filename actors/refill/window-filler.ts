/**
 * Filling one window of two hours from what the others hold, all tenants of it, each in as many parts as its
 * size asks for: read, join, block. Two duties use it: a node that lost data (refill.ts), and a node that
 * takes over what a forgotten instance held (cover.ts); they differ in who is asked and what is kept.
 *
 * Bounds: one read at a time, of at most `ANSWER_BYTES_MAX`; more is read in parts, by series. It rests as
 * long as it worked. A failure is repeated from the step it was at.
 */
import { type LossNote, READ_SLACK_MS, type Registry } from '../../membership/index.ts';
import { StarlingError } from '../../model/errors.ts';
import { type InstanceId, type TenantId, parseTenantId } from '../../model/ids.ts';
import type { TimeRange } from '../../model/sample.ts';
import type { Clock, Log } from '../../platform/platform.ts';
import type { Probe } from '../../platform/rare.ts';
import type { BlockSource, TsdbManager } from '../../storage/index.ts';
import { TENANTS_PATH, ingesterPathOf } from '../ingester/messages.ts';
import type { ClusterView } from '../membership/cluster-view.ts';
import { MEMBERSHIP_PATH } from '../membership/messages.ts';
import { NodeBytes } from '../querier/byte-budget.ts';
import type { GatheredFrom } from '../querier/gather.ts';
import { gatherIngesters } from '../querier/ingester-reader.ts';
import { Ticket } from '../querier/ticket.ts';
import { type ActorRuntime, type OutgoingMessage, unpackControl } from '../runtime/index.ts';

export const WINDOW_MS = 2 * 3_600_000;
/** What one read may hold, of all instances together. */
const ANSWER_BYTES_MAX = 64 * 1024 * 1024;
const READ_TIMEOUT_MS = 60_000;
const TELL_TIMEOUT_MS = 10_000;
/** A window of a tenant is read in so many parts at most. */
const PARTS_MAX = 1024;
const NOTHING: BlockSource = { symbols: () => [], series: () => [] };
const NOBODY = { onCancel: (): void => undefined };

export interface RefillDependencies {
  readonly clock: Clock;
  readonly log: Log;
  readonly runtime: () => ActorRuntime;
  readonly view: () => ClusterView;
  readonly tenants: TsdbManager;
  readonly note: LossNote;
  /** How far back this node promises data at all. */
  readonly retentionMs: number;
  readonly isStopped: () => boolean;
  readonly probe?: Probe;
  readonly answerBytesMax?: number | undefined;
}

/** What one duty asks and keeps. */
export interface FillRules {
  /** Who is asked, in this order; who is left out is not asked. */
  readonly order: (all: readonly InstanceId[]) => readonly InstanceId[];
  /** What is to be held of these answers; undefined: nothing. Throws when they are not enough. */
  readonly keep: (
    gathered: GatheredFrom,
    window: TimeRange,
    registry: Registry,
  ) => Promise<BlockSource | undefined>;
}

/** Fills windows, one after another. Throws what failed; the same window again goes on. */
export class WindowFiller {
  readonly #dependencies: RefillDependencies;
  readonly #rules: FillRules;
  readonly #bytesMax: number;
  readonly #bytes: NodeBytes;
  /** Of the current window, so that a failure repeats nothing that is on disk. */
  readonly #done = new Set<string>();
  #windowMs = Number.NaN;

  constructor(dependencies: RefillDependencies, rules: FillRules) {
    this.#dependencies = dependencies;
    this.#rules = rules;
    this.#bytesMax = dependencies.answerBytesMax ?? ANSWER_BYTES_MAX;
    this.#bytes = new NodeBytes(this.#bytesMax);
  }

  /** Begins anew: what was done of a window is not known any more. */
  reset(): void {
    this.#done.clear();
    this.#windowMs = Number.NaN;
  }

  /** The tenants of those who are asked, with the oldest time of each. */
  async tenantsOf(range: TimeRange): Promise<ReadonlyMap<TenantId, number>> {
    const gathered = await this.#read(TENANTS_PATH, { type: 'tenants' }, range);
    const oldest = new Map<TenantId, number>();
    for (const frame of gathered.frames.flat()) {
      for (const text of unpackControl(frame) as readonly unknown[]) {
        const match = /^(-?\d{1,16}) (.+)$/s.exec(String(text));
        if (match === null) throw corrupt(`a list of tenants with ${String(text).slice(0, 50)}`);
        const tenant = parseTenantId(match[2] ?? '');
        oldest.set(tenant, Math.min(oldest.get(tenant) ?? Infinity, Number(match[1])));
      }
    }
    return oldest;
  }

  /**
   * Nothing is read from before the first sample of anybody. What others still have from before the retention is not in
   * the bucket yet, and owed; only where they cannot tell what they have, the retention is the border.
   */
  firstMs(fromMs: number, oldest: ReadonlyMap<TenantId, number>): number {
    const { clock, retentionMs } = this.#dependencies;
    const promisedMs = clock.wallMs() - retentionMs;
    const heldMs = [...oldest.values()].map((oldestMs) => (oldestMs === 0 ? promisedMs : oldestMs));
    return Math.floor(Math.max(fromMs, Math.min(...heldMs), 0));
  }

  async fill(window: TimeRange, oldest: ReadonlyMap<TenantId, number>): Promise<void> {
    if (this.#windowMs !== window.minTimeMs) this.#done.clear();
    this.#windowMs = window.minTimeMs;
    for (const [tenant, oldestMs] of oldest) {
      if (oldestMs > window.maxTimeMs || this.#done.has(tenant)) continue;
      await this.#fillTenant(tenant, window);
      this.#done.add(tenant);
    }
  }

  /** Tells the membership actor of this node; resolves when it did what follows from it. */
  async tell(message: OutgoingMessage): Promise<void> {
    const runtime = this.#dependencies.runtime();
    const to = { instance: runtime.self, path: MEMBERSHIP_PATH };
    const options = { timeoutMs: TELL_TIMEOUT_MS, lane: 'control' } as const;
    await runtime.ask<null>(to, message, options).done;
  }

  /** Reads a tenant's window in as many parts as its size asks for, and makes a block of each. */
  async #fillTenant(tenant: TenantId, window: TimeRange): Promise<void> {
    for (let count = 1, index = 0; index < count;) {
      const key = `${tenant} ${index}/${count}`;
      if (!this.#done.has(key)) {
        if (!(await this.#fillPart(tenant, window, { index, count }))) {
          if (count * 2 > PARTS_MAX) throw new StarlingError('query.too_large', TOO_LARGE);
          // What is on disk of the first parts is read again in halves: merged when read.
          count *= 2;
          index *= 2;
          continue;
        }
        this.#done.add(key);
      }
      index++;
    }
  }

  /** False: it is too much for one read. */
  async #fillPart(
    tenant: TenantId,
    window: TimeRange,
    part: { readonly index: number; readonly count: number },
  ): Promise<boolean> {
    const { clock, isStopped, tenants, view } = this.#dependencies;
    if (isStopped()) throw new StarlingError('node.not_ready', { why: 'it is stopping' });
    const startedMs = clock.monotonicMs();
    const scope = { tenant, selectors: [], range: window, limit: 0 };
    const hints = { projection: undefined, newestOnly: false, part };
    let gathered: GatheredFrom;
    try {
      const message = { type: 'select', scope, hints };
      gathered = await this.#read(ingesterPathOf(tenant), message, window);
    } catch (error) {
      if (error instanceof StarlingError && error.id === 'query.too_large') return false;
      throw error;
    }
    const source = await this.#rules.keep(gathered, window, view().registry);
    // Where nothing is kept, what is not promised is still told: reads of it must ask the bucket.
    if (source !== undefined || gathered.oldestTimeMs > window.minTimeMs) {
      const tsdb = await tenants.open(tenant);
      await tsdb.fill(source ?? NOTHING, window, gathered.oldestTimeMs);
      if (source !== undefined) await this.tell({ type: 'wrote' });
    }
    await this.#rest(clock.monotonicMs() - startedMs);
    return true;
  }

  /** Half of the time belongs to everything else. */
  #rest(workedMs: number): Promise<void> {
    return new Promise((resolve) => {
      this.#dependencies.clock.after(workedMs, resolve);
    });
  }

  #read(path: string, message: OutgoingMessage, range: TimeRange): Promise<GatheredFrom> {
    const { clock } = this.#dependencies;
    const timeoutMs = READ_TIMEOUT_MS;
    const limits = { nodeBytes: this.#bytes, bytesMax: this.#bytesMax };
    const ticket = new Ticket({ clock, timeoutMs, reply: NOBODY, ...limits });
    const { order } = this.#rules;
    return ticket.run(() =>
      gatherIngesters(this.#dependencies, { path, message, range, timeoutMs, ticket, order }),
    );
  }
}

/** The windows of a closed range, oldest first. */
export function* windowsOf(firstMs: number, lastMs: number): Generator<TimeRange, void> {
  for (let atMs = firstMs; atMs <= lastMs;) {
    const endMs = (Math.floor(atMs / WINDOW_MS) + 1) * WINDOW_MS;
    yield { minTimeMs: atMs, maxTimeMs: Math.min(endMs - 1, lastMs) };
    atMs = endMs;
  }
}

/** Samples may lie so far ahead of the clock that took them: what was lost before a time reaches on. */
export function lastMsOf(beforeMs: number): number {
  return beforeMs + READ_SLACK_MS;
}

const TOO_LARGE = {
  what: 'bytes of one part',
  count: ANSWER_BYTES_MAX,
  countMax: ANSWER_BYTES_MAX,
};

function corrupt(why: string): StarlingError {
  return new StarlingError('protobuf.corrupt', { why, offset: 0 });
}
