/**
 * The compactor of an instance: lets the storage engine's compactor run every so often, each instance at its
 * own times, one run at a time.
 *
 *   started ─(0 … one interval)─► run ─(0.9 … 1.1 intervals)─► run …
 */
import { assertNever } from '../../model/assert.ts';
import { toStarlingError } from '../../model/errors.ts';
import type { TenantId } from '../../model/ids.ts';
import type { Bucket, Clock, Random } from '../../platform/platform.ts';
import { type Compactor, putTenantDeletion, readTenantDeletion } from '../../storage/index.ts';
import type { Actor, ActorContext, Reply } from '../runtime/index.ts';
import type { CompactorMessage } from './messages.ts';

/** Instances spread their runs by this part of the interval. */
const JITTER = 0.1;

export interface CompactorDependencies {
  readonly bucket: Bucket;
  readonly clock: Clock;
  readonly random: Random;
  readonly compactor: Compactor;
  readonly intervalMs: number;
}

export class CompactorActor implements Actor<CompactorMessage> {
  readonly #context: ActorContext<CompactorMessage>;
  readonly #dependencies: CompactorDependencies;
  #isRunning = false;
  /** On the monotonic clock. */
  #dueMs: number;

  constructor(context: ActorContext<CompactorMessage>, dependencies: CompactorDependencies) {
    this.#context = context;
    this.#dependencies = dependencies;
    const { clock, intervalMs, random } = dependencies;
    this.#dueMs = clock.monotonicMs() + random.float() * intervalMs;
  }

  receive(message: CompactorMessage): void {
    const { compactor } = this.#dependencies;
    switch (message.type) {
      case 'delete-tenant':
        answer(message.reply, this.#deleteTenant(message.tenant));
        return;
      case 'ran': {
        const { clock, intervalMs, random } = this.#dependencies;
        this.#isRunning = false;
        const factor = 1 - JITTER + random.float() * 2 * JITTER;
        this.#dueMs = clock.monotonicMs() + factor * intervalMs;
        return;
      }
      case 'status':
        message.reply.ok(compactor.status());
        return;
      case 'tenant-deletion':
        answer(
          message.reply,
          readTenantDeletion(this.#dependencies.bucket, message.tenant).then((one) => one ?? null),
        );
        return;
      case 'tick':
        if (this.#isRunning || message.nowMs < this.#dueMs) return;
        this.#isRunning = true;
        void compactor.run().then(() => {
          this.#context.tell({ type: 'ran' });
        });
        return;
      default:
        assertNever(message);
    }
  }

  async #deleteTenant(tenant: TenantId): Promise<null> {
    const { bucket, clock } = this.#dependencies;
    const markedAtMs = clock.wallMs();
    await putTenantDeletion(bucket, tenant, { markedAtMs, finishedAtMs: undefined });
    return null;
  }
}

function answer<Answer>(reply: Reply<Answer>, work: Promise<Answer>): void {
  work.then(
    (value) => {
      reply.ok(value);
    },
    (thrown: unknown) => {
      reply.fail(toStarlingError(thrown));
    },
  );
}
