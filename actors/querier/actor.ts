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
import { NodeBytes } from './byte-budget.ts';
import { EXEMPLARS_JOB, type ExemplarsInput, runExemplarsJob } from './exemplars-job.ts';
import { FairQueue } from './fair-queue.ts';
import type {
  ExemplarsQuery,
  MetadataQuery,
  NamesOutcome,
  QuerierMessage,
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
import { bytesOf, transferable } from './frames.ts';
import { type QueryDeath, QueryRunner } from './query-runner.ts';
import { METADATA_JOB, type MetadataInput, runMetadataJob } from './metadata-job.ts';
import { NAMES_JOB, type NamesInput, type NamesOutput, runNamesJob } from './names-job.ts';
import { type ReadMessage, SeriesSource, type SeriesSourceDependencies } from './series-source.ts';
import type { QuerySettings } from './settings.ts';
import { Ticket } from './ticket.ts';

/** Queries that run or wait, of all tenants. */
export const QUERIES_MAX = 1000;
export const QUERY_BYTES_MAX = 1024 * 1024 * 1024;
export const QUERIES_BYTES_MAX = 2 * QUERY_BYTES_MAX;
export const NAMES_TIMEOUT_MS = 30_000;
/** Work up to this size is done on the loop: two or three milliseconds; the bytes are those of two replicas. */
const INLINE_BYTES_MAX = 192 * 1024;

export interface QuerierDependencies extends SeriesSourceDependencies {
  readonly workers: Workers;
  readonly settings: QuerySettings;
  /** What is evaluated where it is; 0: nothing. */
  readonly inlineBytesMax?: number | undefined;
  readonly onQuery: (seconds: number, error: StarlingError | undefined) => void;
  /** Told of each query that ended its worker. */
  readonly onDeath: (death: QueryDeath) => void;
}

export class QuerierActor implements Actor<QuerierMessage> {
  readonly #dependencies: QuerierDependencies;
  readonly #bytes = new NodeBytes(QUERIES_BYTES_MAX);
  #inFlight = 0;
  readonly #queue: FairQueue;
  readonly #runner: QueryRunner;
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
    const { inlineBytesMax = INLINE_BYTES_MAX, onDeath, probe, workers } = dependencies;
    const source = this.#source;
    const more = { onDeath, probe, settings, source, workers };
    this.#runner = new QueryRunner({ clock, inlineBytesMax, ...more });
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
          this.#runner.run(message.query, { queueMs, timeoutMs }, ticket),
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
    const isSmall =
      bytesOf(gathered.flatMap(({ frames }) => frames.flat())) <= this.#inlineBytesMax;
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
    if (bytesOf(gathered.frames.flat()) <= this.#inlineBytesMax) return runExemplarsJob(input);
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
    if (bytesOf(gathered.frames.flat()) <= this.#inlineBytesMax) return runMetadataJob(input);
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
    if (bytesOf(gathered.frames.flat()) <= this.#inlineBytesMax) return runNamesJob(input);
    const { workers } = this.#dependencies;
    return workers.run<NamesOutput>(NAMES_JOB, input, transferable([gathered]), ticket.signal);
  }
}

/** Remote read answers samples: where these are gone, there is nothing. */
const SAMPLES_ONLY = { mode: 'raw', resolutionMs: 0 } as const;
/** Names are in blocks of aggregates too. */
const NAMES = { mode: 'auto', resolutionMs: 0 } as const;
