/**
 * One shard of the ingester: appends batches to the TSDBs of its tenants and streams what they hold.
 * Appending is synchronous and short; the acknowledgement waits for the log. A read works in slices
 * between turns of the loop and stops where its reader gives no credit.
 */
import { StarlingError, toStarlingError } from '../../model/errors.ts';
import type { InstanceId } from '../../model/ids.ts';
import type { Clock } from '../../platform/platform.ts';
import {
  type Tsdb,
  type TsdbManager,
  selectFrames,
  selectLabelNames,
  selectLabelSets,
  selectLabelValues,
} from '../../storage/index.ts';
import { type Actor, type StreamReply, packControl } from '../runtime/index.ts';
import {
  type IngesterMessage,
  type ReadScope,
  type ReadSummary,
  ingesterShardOf,
} from './messages.ts';

/** A frame of names is cut before it holds more of them, or more UTF-16 units. */
const NAMES_PER_FRAME = 5000;
const NAME_UNITS_PER_FRAME = 64 * 1024;

export interface IngesterDependencies {
  readonly clock: Clock;
  /** Which of `INGESTER_SHARDS` this is: it looks after the tenants of this shard. */
  readonly shard: number;
  readonly tenants: TsdbManager;
  readonly digest: () => string;
  /** Throws when this node must not take writes, or not from that instance. */
  readonly checkWritable: (from: InstanceId) => void;
  /** Resolves once the cluster may count on it that this instance holds data: before the first ack. */
  readonly noteWrite: () => Promise<void>;
  readonly onError: (what: string, error: StarlingError) => void;
}

type PushMessage = Extract<IngesterMessage, { readonly type: 'push' }>;

export class IngesterActor implements Actor<IngesterMessage> {
  readonly #dependencies: IngesterDependencies;

  constructor(dependencies: IngesterDependencies) {
    this.#dependencies = dependencies;
  }

  receive(message: IngesterMessage): void {
    switch (message.type) {
      case 'label-names':
        this.#stream(message.scope, message.reply, (tsdb) =>
          names(selectLabelNames(tsdb.head, message.scope.selectors, message.scope.range)),
        );
        break;
      case 'label-values':
        this.#stream(message.scope, message.reply, (tsdb) =>
          names(
            selectLabelValues(
              tsdb.head,
              message.name,
              message.scope.selectors,
              message.scope.range,
            ),
          ),
        );
        break;
      case 'push':
        this.#push(message);
        break;
      case 'select': {
        const { hints, reply, scope } = message;
        this.#stream(scope, reply, (tsdb) =>
          selectFrames(tsdb.head, scope.selectors, scope.range, hints),
        );
        break;
      }
      case 'series': {
        const { reply, scope } = message;
        this.#stream(scope, reply, (tsdb) =>
          selectLabelSets(tsdb.head, scope.selectors, scope.range),
        );
        break;
      }
      case 'tick':
        for (const [tenant, tsdb] of this.#dependencies.tenants.all()) {
          if (ingesterShardOf(tenant) !== this.#dependencies.shard) continue;
          tsdb.truncate(message.nowMs).catch((error: unknown) => {
            this.#dependencies.onError('truncate', toStarlingError(error));
          });
        }
        if (this.#dependencies.shard === 0) {
          this.#dependencies.tenants.closeIdle().catch((error: unknown) => {
            this.#dependencies.onError('close idle tenants', toStarlingError(error));
          });
        }
        break;
    }
  }

  #push(message: PushMessage): void {
    const tsdb = this.#dependencies.tenants.get(message.batch.tenant);
    if (tsdb !== undefined) {
      this.#append(tsdb, message);
      return;
    }
    this.#dependencies.tenants.open(message.batch.tenant).then(
      (opened) => this.#append(opened, message),
      (error: unknown) => message.reply.fail(toStarlingError(error)),
    );
  }

  #append(tsdb: Tsdb, { batch, from, reply }: PushMessage): void {
    try {
      this.#dependencies.checkWritable(from);
      const answer = tsdb.append(batch, this.#dependencies.clock.wallMs());
      Promise.all([tsdb.durable(), this.#dependencies.noteWrite()]).then(
        () => reply.ok(answer),
        (error: unknown) => reply.fail(toStarlingError(error)),
      );
    } catch (error) {
      reply.fail(toStarlingError(error));
    }
  }

  /** Sends what `start` yields as frames; `undefined` is a pause. A tenant without data has none. */
  #stream(
    scope: ReadScope,
    reply: StreamReply<ReadSummary>,
    start: (tsdb: Tsdb) => Generator<Uint8Array | undefined, void>,
  ): void {
    const open = this.#dependencies.tenants.get(scope.tenant);
    if (open !== undefined) {
      this.#streamFrom(open, reply, start);
      return;
    }
    this.#dependencies.tenants.find(scope.tenant).then(
      (found) => this.#streamFrom(found, reply, start),
      (error: unknown) => reply.fail(toStarlingError(error)),
    );
  }

  #streamFrom(
    tsdb: Tsdb | undefined,
    reply: StreamReply<ReadSummary>,
    start: (tsdb: Tsdb) => Generator<Uint8Array | undefined, void>,
  ): void {
    const { clock, digest } = this.#dependencies;
    const summary = (): ReadSummary => ({
      digest: digest(),
      oldestTimeMs: tsdb?.oldestTimeMs(clock.wallMs()) ?? Number.MIN_SAFE_INTEGER,
    });
    if (tsdb === undefined) {
      reply.end(summary());
      return;
    }
    const work = start(tsdb);
    const turn = (): void => {
      if (reply.isCancelled) {
        work.return(); // what it holds in the head is given back
        return;
      }
      try {
        const { done, value } = work.next();
        if (done === true) reply.end(summary());
        else if (value === undefined) clock.nextTurn(turn);
        else
          reply.frame(value).then(
            () => clock.nextTurn(turn),
            () => void work.return(), // cancelled: nobody waits
          );
      } catch (error) {
        reply.fail(toStarlingError(error));
      }
    };
    turn();
  }
}

/** Turns a list of names into msgpack frames once it is complete. */
function* names(
  work: Generator<undefined, readonly string[]>,
): Generator<Uint8Array | undefined, void> {
  const all = yield* work;
  for (let from = 0, to = 0; from < all.length; from = to) {
    let units = 0;
    while (to < all.length && to - from < NAMES_PER_FRAME && units < NAME_UNITS_PER_FRAME)
      units += all[to++]!.length;
    yield packControl(all.slice(from, to));
  }
}
