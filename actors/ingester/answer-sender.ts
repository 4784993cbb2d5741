/**
 * How the frames of a read leave: with a turn of the loop after every so many bytes, and, where the asker compares
 * replicas, held back while they are few, because their digest may do instead of them.
 */
import type { TurnQueue } from '../../platform/turn-queue.ts';
import { SeriesDigest } from '../../model/wire/series-digest.ts';
import type { StreamReply } from '../runtime/index.ts';
import { DIGEST_BYTES_MAX, type DigestWish, type ReadSummary } from './messages.ts';

/** After frames of so many bytes a read waits for its next turn; what is smaller leaves together with the end. */
const FRAME_BYTES_PER_TURN = 128 * 1024;

export class AnswerSender {
  readonly #reply: StreamReply<ReadSummary>;
  readonly #turns: TurnQueue;
  /** Undefined: none is wanted, or the answer is not small. */
  #digest: SeriesDigest | undefined;
  /** Frames that may not have to leave; undefined: they all do. */
  #held: Uint8Array[] | undefined;
  #bytes = 0;
  #bytesInTurn = 0;

  constructor(reply: StreamReply<ReadSummary>, turns: TurnQueue, content: DigestWish | undefined) {
    this.#reply = reply;
    this.#turns = turns;
    this.#digest = content === undefined ? undefined : new SeriesDigest();
    this.#held = content === 'instead' ? [] : undefined;
  }

  /** Undefined is a pause. Waits for credit and turns; rejects when cancelled. */
  async send(frame: Uint8Array | undefined): Promise<void> {
    if (frame === undefined) return this.#nextTurn();
    this.#bytes += frame.length;
    if (this.#bytes > DIGEST_BYTES_MAX) this.#digest = undefined;
    this.#digest?.add(frame);
    if (this.#held !== undefined && this.#digest !== undefined) {
      this.#held.push(frame);
      return;
    }
    for (const one of this.#held ?? []) await this.#sendNow(one);
    this.#held = undefined;
    await this.#sendNow(frame);
  }

  /** Of all that was sent or held; undefined when none is to be told. */
  contentDigest(): string | undefined {
    return this.#digest?.toString();
  }

  async #sendNow(frame: Uint8Array): Promise<void> {
    await this.#reply.frame(frame);
    this.#bytesInTurn += frame.length;
    if (this.#bytesInTurn >= FRAME_BYTES_PER_TURN) await this.#nextTurn();
  }

  async #nextTurn(): Promise<void> {
    this.#bytesInTurn = 0;
    await this.#turns.next();
  }
}
