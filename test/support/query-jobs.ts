/** The jobs of queries, as the simulator runs them: inline. */
import {
  EVALUATE_JOB,
  type EvaluateInput,
  runEvaluateJob,
} from '../../actors/querier/evaluate-job.ts';
import { NAMES_JOB, type NamesInput, runNamesJob } from '../../actors/querier/names-job.ts';
import type { SimJobs } from '../../sim/workers.ts';

/** By name: the table erases the type that a job and its caller share. */
export const queryJobs: SimJobs = new Map<string, (input: unknown) => { readonly output: unknown }>(
  [
    [EVALUATE_JOB, (input) => ({ output: runEvaluateJob(input as EvaluateInput) })], // named for it
    [NAMES_JOB, (input) => ({ output: runNamesJob(input as NamesInput) })], // named for it
  ],
);
