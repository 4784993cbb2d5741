/**
 * The querier: any node's answer for the whole cluster. It parses, asks the instances that a complete
 * answer needs, and has a worker merge, evaluate and encode; small queries are evaluated inline, because
 * handing them over would cost more than they do.
 */
import { StarlingError, toStarlingError } from '../../model/errors.ts';
import type { Workers } from '../../platform/platform.ts';
import { EXPERIMENTAL_LANGUAGE, parseExpr, selectorsOf } from '../../promql/index.ts';
import type { SelectHints } from '../../storage/index.ts';
import type { ReadScope } from '../ingester/messages.ts';
import type { Actor, Reply } from '../runtime/index.ts';
import {
  EVALUATE_JOB,
  type EvaluateInput,
  type EvaluateOutput,
  runEvaluateJob,
} from './evaluate-job.ts';
import { NodeBytes } from './byte-budget.ts';
import { EXEMPLARS_JOB, type ExemplarsInput, runExemplarsJob } from './exemplars-job.ts';
import { FairQueue } from './fair-queue.ts';
import type { Gathered } from './gather.ts';
import { resolutionNotes, resolutionUsedMs } from './resolution-notes.ts';
import type {
  ExemplarsQuery,
  MetadataQuery,
  NamesOutcome,
  QuerierMessage,
  Query,
  QueryOutcome,
  RemoteRead,
  RemoteReadOutcome,
  SeriesQuery,
} from './messages.ts';
import { decodeReadRequest } from './remote-read-codec.ts';
import {
  REMOTE_READ_JOB,
  type RemoteReadInput,
  type RemoteReadOutput,
  runRemoteReadJob,
} from './remote-read-job.ts';
import { METADATA_JOB, type MetadataInput, runMetadataJob } from './metadata-job.ts';
import { NAMES_JOB, type NamesInput, type NamesOutput, runNamesJob } from './names-job.ts';
import { type PlanInput, parsedQuery, plannedQuery } from './planned-query.ts';
import { Quarantine } from './quarantine.ts';
import { type ReadMessage, SeriesSource, type SeriesSourceDependencies } from './series-source.ts';
import type { QuerySettings } from './settings.ts';
import { Ticket } from './ticket.ts';
import { estimateSteps } from './workload.ts';

/** Queries that run or wait, of all tenants. */
export const QUERIES_MAX = 1000;
export const QUERY_BYTES_MAX = 1024 * 1024 * 1024;
export const QUERIES_BYTES_MAX = 2 * QUERY_BYTES_MAX;
export const NAMES_TIMEOUT_MS = 30_000;
/** Work up to this size is done on the loop: two or three milliseconds; the bytes are those of two replicas. */
const INLINE_BYTES_MAX = 192 * 1024;
const INLINE_WORK_MAX = 20_000;
const BYTES_PER_ROW = 500;

export interface QuerierDependencies extends SeriesSourceDependencies {
  readonly workers: Workers;
  readonly settings: QuerySettings;
  /** What is evaluated where it is; 0: nothing. */
  readonly inlineBytesMax?: number | undefined;
  readonly onQuery: (seconds: number, error: StarlingError | undefined) => void;
}

export class QuerierActor implements Actor<QuerierMessage> {
  readonly #dependencies: QuerierDependencies;
  readonly #bytes = new NodeBytes(QUERIES_BYTES_MAX);
  #inFlight = 0;
  readonly #queue: FairQueue;
  readonly #quarantine: Quarantine;
  readonly #source: SeriesSource;

  constructor(dependencies: QuerierDependencies) {
    this.#dependencies = dependencies;
    const { clock, settings } = dependencies;
    this.#source = new SeriesSource(dependencies);
    this.#queue = new FairQueue({
      runningMax: settings.concurrentMax,
      runningPerTenantMax: settings.concurrentPerTenantMax,
      waitingPerTenantMax: settings.queuedPerTenantMax,
    });
    this.#quarantine = new Quarantine(clock);
  }

  receive(message: QuerierMessage): void {
    switch (message.type) {
      case 'cardinality':
        this.#run(message, NAMES_TIMEOUT_MS, (ticket) =>
          this.#names({ type: 'series' }, 'cardinality', message.query, ticket),
        );
        break;
      case 'exemplars':
        this.#run(message, NAMES_TIMEOUT_MS, (ticket) => this.#exemplars(message.query, ticket));
        break;
      case 'label-names':
        this.#run(message, NAMES_TIMEOUT_MS, (ticket) =>
          this.#names({ type: 'label-names' }, 'names', message.query, ticket),
        );
        break;
      case 'label-values': {
        const { name } = message;
        this.#run(message, NAMES_TIMEOUT_MS, (ticket) =>
          this.#names({ type: 'label-values', name }, 'names', message.query, ticket),
        );
        break;
      }
      case 'metadata':
        this.#run(message, NAMES_TIMEOUT_MS, (ticket) => this.#metadata(message.query, ticket));
        break;
      case 'query': {
        const timeoutMaxMs = this.#dependencies.settings.timeoutMs;
        const timeoutMs = Math.min(message.query.timeoutMs ?? timeoutMaxMs, timeoutMaxMs);
        this.#run(message, timeoutMs, (ticket, queueMs) =>
          this.#query(message.query, { queueMs, timeoutMs }, ticket),
        );
        break;
      }
      case 'remote-read': {
        const { timeoutMs } = this.#dependencies.settings;
        this.#run(message, timeoutMs, (ticket) => this.#remoteRead(message.query, ticket));
        break;
      }
      case 'series':
        this.#run(message, NAMES_TIMEOUT_MS, (ticket) =>
          this.#names({ type: 'series' }, 'label-sets', message.query, ticket),
        );
        break;
    }
  }

  #run<Answer>(
    {
      query,
      reply,
    }: { readonly query: { readonly tenant: string }; readonly reply: Reply<Answer> },
    timeoutMs: number,
    work: (ticket: Ticket, queueMs: number) => Promise<Answer>,
  ): void {
    if (this.#inFlight >= QUERIES_MAX) {
      reply.fail(
        new StarlingError('node.overloaded', { what: 'queries in flight', countMax: QUERIES_MAX }),
      );
      return;
    }
    this.#inFlight++;
    const { clock, onQuery } = this.#dependencies;
    const startedMs = clock.monotonicMs();
    const done = (error: StarlingError | undefined): void => {
      this.#inFlight--;
      onQuery((clock.monotonicMs() - startedMs) / 1000, error);
    };
    const nodeBytes = this.#bytes;
    const ticket = new Ticket({ clock, timeoutMs, reply, nodeBytes, bytesMax: QUERY_BYTES_MAX });
    const inTurn = async (): Promise<Answer> => {
      await this.#turnOf(query.tenant, ticket);
      return work(ticket, clock.monotonicMs() - startedMs);
    };
    ticket.run(inTurn).then(
      (answer) => {
        done(undefined);
        reply.ok(answer);
      },
      (thrown: unknown) => {
        const error = toStarlingError(thrown);
        done(error);
        reply.fail(error);
      },
    );
  }

  get #inlineBytesMax(): number {
    return this.#dependencies.inlineBytesMax ?? INLINE_BYTES_MAX;
  }

  /** Resolves when the tenant's next query may run; the place is given back when the ticket ends. */
  #turnOf(tenant: string, ticket: Ticket): Promise<void> {
    return new Promise((resolve) => {
      const place = this.#queue.enter(tenant, resolve);
      ticket.onStop(() => place.leave());
    });
  }

  async #query(
    query: Query,
    { queueMs, timeoutMs }: { readonly queueMs: number; readonly timeoutMs: number },
    ticket: Ticket,
  ): Promise<QueryOutcome> {
    const { clock, settings } = this.#dependencies;
    const { delayedNameRemoval, isExperimental, samplesMax } = settings;
    this.#quarantine.check(query.tenant, query.query);
    const startedMs = clock.monotonicMs();
    const { endMs, startMs, stepMs } = query;
    const expr = parsedQuery({ query: query.query, isExperimental });
    const work = estimateSteps(expr, {
      steps: stepMs === 0 ? 1 : Math.floor((endMs - startMs) / stepMs) + 1,
      spanMs: stepMs === 0 ? 0 : endMs - startMs,
      stepsMax: samplesMax,
    });
    const mode = query.maxSourceResolution ?? settings.maxSourceResolution;
    const run: PlanInput = {
      query: query.query,
      startMs,
      endMs,
      stepMs,
      lookbackMs: query.lookbackMs ?? settings.lookbackMs,
      downsampling: await this.#source.downsamplingFor(query.tenant, mode),
      isExperimental,
      delayedNameRemoval,
    };
    const planned = plannedQuery(run, expr);
    const { selections } = planned.plan;
    const gathered = await Promise.all(
      selections.map((selection) => {
        const { matchers, maxTimeMs, minTimeMs, newestOnly, projection, value } = selection;
        const { resolutionMs = 0 } = selection;
        const range = { minTimeMs, maxTimeMs };
        const scope = { tenant: query.tenant, selectors: [matchers], range, limit: 0 };
        const hints: SelectHints = { newestOnly, projection, value };
        const message = { type: 'select', hints } as const;
        return this.#source.gather(message, scope, { timeoutMs, ticket, mode, resolutionMs });
      }),
    );
    const input: EvaluateInput = {
      ...run,
      samplesMax,
      limit: query.limit,
      wants: query.wants ?? {},
      before: { queueMs, gatherMs: clock.monotonicMs() - startedMs },
      stopFlag: ticket.stopFlag,
      selections: selections.map(({ maxTimeMs, minTimeMs, projection, value }, i) => ({
        frames: gathered[i]!.frames.flat(),
        value: value ?? 'kept',
        resolutionMs: resolutionUsedMs(gathered[i]!.use),
        range: { minTimeMs, maxTimeMs },
        isProjected: projection !== undefined,
      })),
    };
    const isSmall =
      bytesOf(gathered) <= this.#inlineBytesMax && work * rowsOf(gathered) <= INLINE_WORK_MAX;
    const output = isSmall
      ? runEvaluateJob(input, () => clock.monotonicMs(), planned)
      : await this.#evaluateInWorker(query, input, gathered, ticket);
    const uses = gathered.map(({ use }) => use);
    const notes = resolutionNotes(uses, selections, mode);
    const before = retentionWarning(selections, gathered);
    const warnings = [...output.warnings, ...before, ...notes.warnings];
    return { ...output, warnings, infos: [...output.infos, ...notes.infos] };
  }

  async #evaluateInWorker(
    { query, tenant }: Query,
    input: EvaluateInput,
    gathered: readonly Gathered[],
    ticket: Ticket,
  ): Promise<EvaluateOutput> {
    const { workers } = this.#dependencies;
    const buffers = transferable(gathered);
    try {
      return await workers.run<EvaluateOutput>(EVALUATE_JOB, input, buffers, ticket.signal);
    } catch (error) {
      if (error instanceof StarlingError && error.id === 'node.worker_ended')
        this.#quarantine.noteDeath(tenant, query);
      throw error;
    }
  }

  async #remoteRead({ body, tenant }: RemoteRead, ticket: Ticket): Promise<RemoteReadOutcome> {
    const { settings, workers } = this.#dependencies;
    const { kind, queries } = decodeReadRequest(body);
    const hints: SelectHints = { newestOnly: false, projection: undefined };
    const gathered = await Promise.all(
      queries.map(({ matchers, range }) => {
        const scope: ReadScope = { tenant, selectors: [matchers], range, limit: 0 };
        const message = { type: 'select', hints } as const;
        const { timeoutMs } = settings;
        return this.#source.gather(message, scope, { timeoutMs, ticket, ...SAMPLES_ONLY });
      }),
    );
    const input: RemoteReadInput = {
      kind,
      queries: queries.map(({ range }, i) => ({ range, frames: gathered[i]!.frames.flat() })),
      samplesMax: settings.samplesMax,
      stopFlag: ticket.stopFlag,
    };
    const isSmall = bytesOf(gathered) <= this.#inlineBytesMax;
    const { data } = isSmall
      ? runRemoteReadJob(input)
      : await workers.run<RemoteReadOutput>(
          REMOTE_READ_JOB,
          input,
          transferable(gathered),
          ticket.signal,
        );
    return { data, kind };
  }

  async #exemplars(query: ExemplarsQuery, ticket: Ticket): Promise<NamesOutcome> {
    const { settings, workers } = this.#dependencies;
    const { range, tenant } = query;
    const expr = parseExpr(query.query, settings.isExperimental ? EXPERIMENTAL_LANGUAGE : {});
    const selectors = selectorsOf(expr);
    if (selectors.length === 0) return { data: new Uint8Array(0), warnings: [] };
    const scope: ReadScope = { tenant, selectors, range, limit: 0 };
    const message = { type: 'exemplars', scope };
    const effort = { timeoutMs: NAMES_TIMEOUT_MS, ticket };
    const gathered = await this.#source.gatherRecent(message, scope, effort);
    const input: ExemplarsInput = { frames: gathered.frames.flat(), stopFlag: ticket.stopFlag };
    if (bytesOf([gathered]) <= this.#inlineBytesMax) return runExemplarsJob(input);
    return workers.run<NamesOutput>(EXEMPLARS_JOB, input, transferable([gathered]), ticket.signal);
  }

  async #metadata(query: MetadataQuery, ticket: Ticket): Promise<NamesOutcome> {
    const { clock, workers } = this.#dependencies;
    const { limit, limitPerMetric, metric, tenant } = query;
    const nowMs = clock.wallMs();
    const message = { type: 'metadata', tenant, metric, limit: Math.max(0, limit) };
    const scope = { tenant, range: { minTimeMs: nowMs, maxTimeMs: nowMs } };
    const effort = { timeoutMs: NAMES_TIMEOUT_MS, ticket };
    const gathered = await this.#source.gatherRecent(message, scope, effort);
    const frames = gathered.frames.flat();
    const input: MetadataInput = { frames, limit, limitPerMetric, stopFlag: ticket.stopFlag };
    if (bytesOf([gathered]) <= this.#inlineBytesMax) return runMetadataJob(input);
    return workers.run<NamesOutput>(METADATA_JOB, input, transferable([gathered]), ticket.signal);
  }

  async #names(
    message: ReadMessage,
    kind: NamesInput['kind'],
    query: SeriesQuery,
    ticket: Ticket,
  ): Promise<NamesOutcome> {
    const scope = kind === 'cardinality' ? { ...query, limit: 0 } : query;
    const effort = { timeoutMs: NAMES_TIMEOUT_MS, ticket, ...NAMES };
    const gathered = await this.#source.gather(message, scope, effort);
    const frames = gathered.frames.flat();
    const input: NamesInput = { kind, frames, limit: query.limit, stopFlag: ticket.stopFlag };
    if (bytesOf([gathered]) <= this.#inlineBytesMax) return runNamesJob(input);
    const { workers } = this.#dependencies;
    return workers.run<NamesOutput>(NAMES_JOB, input, transferable([gathered]), ticket.signal);
  }
}

/** Remote read answers samples: where these are gone, there is nothing. */
const SAMPLES_ONLY = { mode: 'raw', resolutionMs: 0 } as const;
/** Names are in blocks of aggregates too. */
const NAMES = { mode: 'auto', resolutionMs: 0 } as const;

function bytesOf(gathered: readonly Gathered[]): number {
  let bytes = 0;
  for (const { frames } of gathered) for (const frame of frames.flat()) bytes += frame.length;
  return bytes;
}

/** How many series frames may hold, at most. */
function rowsOf(gathered: readonly Gathered[]): number {
  return Math.max(1, bytesOf(gathered) / BYTES_PER_ROW);
}

/** Frames own their buffers: they move to the worker. */
function transferable(gathered: readonly Gathered[]): readonly ArrayBuffer[] {
  const buffers = new Set<ArrayBuffer>();
  for (const { frames } of gathered) {
    for (const { buffer, byteLength } of frames.flat()) {
      if (buffer instanceof ArrayBuffer && buffer.byteLength === byteLength) buffers.add(buffer);
    }
  }
  return [...buffers];
}

function retentionWarning(
  selections: readonly { readonly minTimeMs: number }[],
  gathered: readonly Gathered[],
): readonly string[] {
  for (let i = 0; i < selections.length; i++) {
    const oldest = gathered[i]!.oldestTimeMs;
    if (selections[i]!.minTimeMs < oldest) {
      return [
        `the query reaches before ${Math.floor(oldest)} ms, the oldest time this cluster still holds: older data is missing from the answer`,
      ];
    }
  }
  return [];
}
