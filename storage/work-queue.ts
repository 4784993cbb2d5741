/** One piece of work after another: of all tenants of a node only one cuts blocks at a time. */
export class WorkQueue {
  #last: Promise<unknown> = Promise.resolve();

  /** Runs `work` when all that was queued before has ended, however it ended. */
  run<Result>(work: () => Promise<Result>): Promise<Result> {
    const result = this.#last.then(work, work);
    this.#last = result.catch(() => undefined); // told to who queued it
    return result;
  }
}
