/**
 * One query from its text to its answer:
 *
 *   parsed, planned ─► series gathered ─► merged, evaluated, encoded      small: here, else by a worker
 *                                    └─► a small one while replicas are compared (evaluation-ahead.ts)
 */
import { StarlingError } from '../../model/errors.ts';
import type { Clock, Workers } from '../../platform/platform.ts';
import type { Probe } from '../../platform/rare.ts';
import type { SelectHints } from '../../storage/index.ts';
import {
  EVALUATE_JOB,
  type EvaluateInput,
  type EvaluateOutput,
  runEvaluateJob,
} from './evaluate-job.ts';
import { DigestLuck } from './digest-luck.ts';
import { EvaluationAhead } from './evaluation-ahead.ts';
import { bytesOf, transferable } from './frames.ts';
import type { Gathered } from './gather.ts';
import type { Query, QueryOutcome } from './messages.ts';
import { type PlanInput, type PlannedQuery, parsedQuery, plannedQuery } from './planned-query.ts';
import { Quarantine } from './quarantine.ts';
import { resolutionNotes, resolutionUsedMs } from './resolution-notes.ts';
import type { GatheredAll, SeriesSource } from './series-source.ts';
import type { QuerySettings } from './settings.ts';
import type { Ticket } from './ticket.ts';
import { estimateSteps } from './workload.ts';

/** Steps of all series up to which a query is evaluated on the loop: two or three milliseconds. */
const INLINE_WORK_MAX = 20_000;
/** A series of a small query takes about so many bytes in a frame. */
const BYTES_PER_ROW = 500;

export interface QueryRunnerDependencies {
  readonly clock: Clock;
  readonly settings: QuerySettings;
  readonly source: Pick<SeriesSource, 'downsamplingFor' | 'gather'>;
  readonly workers: Workers;
  /** What is evaluated where it is; 0: nothing. */
  readonly inlineBytesMax: number;
  readonly probe: Probe | undefined;
  /** Told of each query that ended its worker. */
  readonly onDeath: (death: QueryDeath) => void;
}

/** A query that ended its worker, and how often it did; from the second time on it is refused for a while. */
export interface QueryDeath {
  readonly tenant: string;
  readonly query: string;
  readonly deaths: number;
}

/** How long a query waited for its place, and how long it may take. */
export interface QueryTimes {
  readonly queueMs: number;
  readonly timeoutMs: number;
}

/** The series of each selection, out of what instances answered. */
type FramesOf = readonly (readonly Uint8Array[])[];

export class QueryRunner {
  readonly #dependencies: QueryRunnerDependencies;
  readonly #quarantine: Quarantine;
  readonly #luck = new DigestLuck();

  constructor(dependencies: QueryRunnerDependencies) {
    this.#dependencies = dependencies;
    this.#quarantine = new Quarantine(dependencies.clock);
  }

  async run(
    query: Query,
    { queueMs, timeoutMs }: QueryTimes,
    ticket: Ticket,
  ): Promise<QueryOutcome> {
    const { clock, settings, source } = this.#dependencies;
    const { delayedNameRemoval, isExperimental } = settings;
    this.#quarantine.check(query.tenant, query.query);
    const startedMs = clock.monotonicMs();
    const { endMs, startMs, stepMs } = query;
    const expr = parsedQuery({ query: query.query, isExperimental });
    const work = estimateSteps(expr, {
      steps: stepMs === 0 ? 1 : Math.floor((endMs - startMs) / stepMs) + 1,
      spanMs: stepMs === 0 ? 0 : endMs - startMs,
      stepsMax: settings.samplesMax,
    });
    const mode = query.maxSourceResolution ?? settings.maxSourceResolution;
    const plan: PlanInput = {
      query: query.query,
      startMs,
      endMs,
      stepMs,
      lookbackMs: query.lookbackMs ?? settings.lookbackMs,
      downsampling: await source.downsamplingFor(query.tenant, mode),
      isExperimental,
      delayedNameRemoval,
    };
    const planned = plannedQuery(plan, expr);
    const { selections } = planned.plan;
    const run: Run = { query, plan, planned, work, queueMs, startedMs, ticket };
    const digests = this.#luck.mayTry();
    const ahead = digests ? this.#aheadOf(run) : undefined;
    const gathered = await Promise.all(
      selections.map((selection, i) => {
        const { matchers, maxTimeMs, minTimeMs, newestOnly, projection, value } = selection;
        const { resolutionMs = 0 } = selection;
        const range = { minTimeMs, maxTimeMs };
        const scope = { tenant: query.tenant, selectors: [matchers], range, limit: 0 };
        const hints: SelectHints = { newestOnly, projection, value };
        const message = { type: 'select', hints } as const;
        const effort = { timeoutMs, ticket, mode, resolutionMs, digests };
        const onEarly = ahead && ((frames: readonly Uint8Array[]) => ahead.note(i, frames));
        return source.gather(
          message,
          scope,
          onEarly === undefined ? effort : { ...effort, onEarly },
        );
      }),
    );
    this.#noteReplicas(gathered);
    const output = this.#settled(ahead, gathered) ?? (await this.#evaluated(run, gathered));
    const notes = resolutionNotes(
      gathered.map(({ use }) => use),
      selections,
      mode,
    );
    const before = retentionWarning(selections, gathered);
    const warnings = [...output.warnings, ...before, ...notes.warnings];
    return { ...output, warnings, infos: [...output.infos, ...notes.infos] };
  }

  /** Only where the answer is all that is asked for: how it came about differs. */
  #aheadOf(run: Run): EvaluationAhead | undefined {
    const { explain = false, stats } = run.query.wants ?? {};
    const isPlain = !explain && stats === undefined && run.plan.downsampling === undefined;
    const { clock } = this.#dependencies;
    const selectionCount = run.planned.plan.selections.length;
    if (!isPlain || selectionCount === 0) return undefined;
    return new EvaluationAhead({
      selectionCount,
      nextTurn: (work) => clock.nextTurn(work),
      evaluate: (frames) =>
        this.#isSmall(run, frames.flat())
          ? runEvaluateJob(this.#inputOf(run, frames, []), undefined, run.planned)
          : undefined,
    });
  }

  #settled(
    ahead: EvaluationAhead | undefined,
    gathered: readonly GatheredAll[],
  ): EvaluateOutput | undefined {
    const output = ahead?.settle(gathered.map(({ frames }) => frames));
    if (output !== undefined) this.#dependencies.probe?.('query.ahead');
    return output;
  }

  #noteReplicas(gathered: readonly GatheredAll[]): void {
    const told = gathered.map(({ replicas }) => replicas);
    if (told.includes('differ')) this.#luck.note('differ');
    else if (told.includes('agree')) this.#luck.note('agree');
  }

  #evaluated(run: Run, gathered: readonly GatheredAll[]): EvaluateOutput | Promise<EvaluateOutput> {
    const { clock } = this.#dependencies;
    const frames = gathered.map((one) => one.frames.flat());
    const resolutionsMs = gathered.map(({ use }) => resolutionUsedMs(use));
    const input = this.#inputOf(run, frames, resolutionsMs);
    return this.#isSmall(run, frames.flat())
      ? runEvaluateJob(input, () => clock.monotonicMs(), run.planned)
      : this.#evaluateInWorker(run, input, gathered);
  }

  #isSmall({ work }: Run, frames: readonly Uint8Array[]): boolean {
    const bytes = bytesOf(frames);
    const rows = Math.max(1, bytes / BYTES_PER_ROW); // at most
    return bytes <= this.#dependencies.inlineBytesMax && work * rows <= INLINE_WORK_MAX;
  }

  #inputOf(
    { plan, planned, query, queueMs, startedMs, ticket }: Run,
    frames: FramesOf,
    resolutionsMs: readonly number[],
  ): EvaluateInput {
    const { clock, settings } = this.#dependencies;
    return {
      ...plan,
      samplesMax: settings.samplesMax,
      limit: query.limit,
      wants: query.wants ?? {},
      before: { queueMs, gatherMs: clock.monotonicMs() - startedMs },
      stopFlag: ticket.stopFlag,
      selections: planned.plan.selections.map((selection, i) => ({
        frames: frames[i]!,
        value: selection.value ?? 'kept',
        resolutionMs: resolutionsMs[i] ?? 0,
        range: { minTimeMs: selection.minTimeMs, maxTimeMs: selection.maxTimeMs },
        isProjected: selection.projection !== undefined,
      })),
    };
  }

  async #evaluateInWorker(
    { query: { query, tenant }, ticket }: Run,
    input: EvaluateInput,
    gathered: readonly Gathered[],
  ): Promise<EvaluateOutput> {
    const { workers } = this.#dependencies;
    const buffers = transferable(gathered);
    try {
      return await workers.run<EvaluateOutput>(EVALUATE_JOB, input, buffers, ticket.signal);
    } catch (error) {
      if (error instanceof StarlingError && error.id === 'node.worker_ended') {
        const deaths = this.#quarantine.noteDeath(tenant, query);
        this.#dependencies.onDeath({ tenant, query, deaths });
      }
      throw error;
    }
  }
}

/** A query on its way. */
interface Run {
  readonly query: Query;
  readonly plan: PlanInput;
  readonly planned: PlannedQuery;
  /** Steps for each series. */
  readonly work: number;
  readonly queueMs: number;
  readonly startedMs: number;
  readonly ticket: Ticket;
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
