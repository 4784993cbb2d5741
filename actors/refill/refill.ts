/**
 * Filling again what this node lost, from the others: two hours after the other, oldest first, all tenants
 * of a window before the next one.
 *
 *   tenants? ─► for each window, tenant, part: read ─► join ─► block ─► … ─► note how far ─► 'refilled'
 *
 * A read here counts this instance as missing, as all reads do, so an answer that is complete holds every
 * acknowledged sample: after the last window this instance holds what it may have acknowledged. Invariant:
 * only after a complete answer is a window filled, and only after all of them is the instance whole.
 *
 * Bounds: one read at a time, of at most `ANSWER_BYTES_MAX`; more is read in parts, by series. It rests as
 * long as it worked. A restart goes on with the window it was at; a failure with the step it was at.
 */
import { type LossNote, READ_SLACK_MS, type Registry, readPlan } from '../../membership/index.ts';
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
import { holdingsOf } from './holders.ts';
import { joinWindow } from './window-join.ts';

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

/** What is to be filled, and how far it is. For people. */
export interface RefillProgress {
  readonly fromMs: number;
  readonly toMs: number;
  readonly atMs: number;
}

/** One refill, from the note that it began with. Throws what failed; `run` again goes on. */
export class Refill {
  progress: RefillProgress | undefined;
  readonly #dependencies: RefillDependencies;
  readonly #bytesMax: number;
  readonly #bytes: NodeBytes;
  /** Of the current window, so that a failure repeats nothing that is on disk. */
  readonly #done = new Set<string>();
  #windowMs = Number.NaN;

  constructor(dependencies: RefillDependencies) {
    this.#dependencies = dependencies;
    this.#bytesMax = dependencies.answerBytesMax ?? ANSWER_BYTES_MAX;
    this.#bytes = new NodeBytes(this.#bytesMax);
  }

  /** Fills everything that `missingBeforeMs` of the own record stands for. Returns what could not be. */
  async run(missingBeforeMs: number): Promise<{ readonly restMs: number }> {
    const { log, note, runtime } = this.#dependencies;
    if ((note.current?.beforeMs ?? 0) < missingBeforeMs) {
      await note.add({ fromMs: 0, beforeMs: missingBeforeMs }); // a new disk
    }
    const loss = note.current ?? { fromMs: 0, beforeMs: missingBeforeMs };
    const range = { minTimeMs: loss.fromMs, maxTimeMs: loss.beforeMs + READ_SLACK_MS };
    const oldest = await this.#tenantsOf(range);
    const firstMs = this.#firstMs(loss.fromMs, oldest);
    log.probe?.('refill.began');
    log.info('filling lost data again', { ...range, firstMs, tenants: oldest.size });
    let restMs = 0;
    for (let atMs = firstMs; atMs <= range.maxTimeMs;) {
      const endMs = (Math.floor(atMs / WINDOW_MS) + 1) * WINDOW_MS;
      const window = { minTimeMs: atMs, maxTimeMs: Math.min(endMs - 1, range.maxTimeMs) };
      this.progress = { fromMs: firstMs, toMs: range.maxTimeMs, atMs };
      if (isHopeless(this.#dependencies.view().registry, runtime().self, window)) {
        log.probe?.('refill.window_hopeless');
        restMs = endMs;
      } else {
        await this.#fillWindow(window, oldest);
        log.probe?.('refill.window_filled');
      }
      await note.fill(Math.min(endMs, loss.beforeMs), loss);
      atMs = endMs;
    }
    this.progress = undefined;
    restMs = Math.min(restMs, loss.beforeMs);
    const message = { type: 'refilled', beforeMs: loss.beforeMs, restMs };
    await this.#tell(message);
    await note.clear(loss);
    return { restMs };
  }

  async #tell(message: OutgoingMessage): Promise<void> {
    const runtime = this.#dependencies.runtime();
    const to = { instance: runtime.self, path: MEMBERSHIP_PATH };
    const options = { timeoutMs: TELL_TIMEOUT_MS, lane: 'control' } as const;
    await runtime.ask<null>(to, message, options).done;
  }

  /** Nothing is read from before the first sample of anybody, or from before the retention. */
  #firstMs(fromMs: number, oldest: ReadonlyMap<TenantId, number>): number {
    const { clock, retentionMs } = this.#dependencies;
    const oldestMs = Math.min(...oldest.values());
    return Math.floor(Math.max(fromMs, oldestMs, clock.wallMs() - retentionMs, 0));
  }

  /** The tenants of the others, with the oldest time of each. */
  async #tenantsOf(range: TimeRange): Promise<ReadonlyMap<TenantId, number>> {
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

  async #fillWindow(window: TimeRange, oldest: ReadonlyMap<TenantId, number>): Promise<void> {
    if (this.#windowMs !== window.minTimeMs) this.#done.clear();
    this.#windowMs = window.minTimeMs;
    for (const [tenant, oldestMs] of oldest) {
      if (oldestMs > window.maxTimeMs || this.#done.has(tenant)) continue;
      await this.#fillTenant(tenant, window);
      this.#done.add(tenant);
    }
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
    const { clock, isStopped, log, runtime, tenants, view } = this.#dependencies;
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
    const holdings = holdingsOf(view().registry, runtime().self, window);
    const answers = gathered.frames.map((frames, i) => ({
      holder: holdings.holderOf(gathered.instances[i]!),
      frames,
    }));
    const source = await joinWindow({ clock, log }, answers, holdings);
    // Where nothing is kept, what is not promised is still told: reads of it must ask the bucket.
    if (source !== undefined || gathered.oldestTimeMs > window.minTimeMs) {
      const tsdb = await tenants.open(tenant);
      await tsdb.fill(source ?? NOTHING, window, gathered.oldestTimeMs);
      if (source !== undefined) await this.#tell({ type: 'wrote' });
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
    const { clock, runtime } = this.#dependencies;
    const timeoutMs = READ_TIMEOUT_MS;
    const limits = { nodeBytes: this.#bytes, bytesMax: this.#bytesMax };
    const ticket = new Ticket({ clock, timeoutMs, reply: NOBODY, ...limits });
    const { self } = runtime();
    const order = (all: readonly InstanceId[]): readonly InstanceId[] =>
      all.filter((id) => id !== self);
    return ticket.run(() =>
      gatherIngesters(this.#dependencies, { path, message, range, timeoutMs, ticket, order }),
    );
  }
}

const TOO_LARGE = {
  what: 'bytes of one part',
  count: ANSWER_BYTES_MAX,
  countMax: ANSWER_BYTES_MAX,
};

/**
 * No answer of the others is ever complete: there was a time of fewer copies, or others lost theirs too.
 * Then the loss is for good, unless they come back with it.
 */
function isHopeless(registry: Registry, self: InstanceId, window: TimeRange): boolean {
  const plan = readPlan(registry, window);
  const others = plan.instancesToAsk.map(({ id }) => id).filter((id) => id !== self);
  return !plan.isComplete(new Set(others)).ok;
}

function corrupt(why: string): StarlingError {
  return new StarlingError('protobuf.corrupt', { why, offset: 0 });
}
