// Goal: a small answer that may be told by its digest sends no frame, a large one all of them in order. Method: frames of
// given sizes into a reply that notes them.
import t from 'tap';
import { AnswerSender } from '../../actors/ingester/answer-sender.ts';
import {
  DIGEST_BYTES_MAX,
  type DigestWish,
  type ReadSummary,
} from '../../actors/ingester/messages.ts';
import type { StreamReply } from '../../actors/runtime/index.ts';
import { SeriesFrameWriter } from '../../model/wire/series-frame.ts';
import { TurnQueue } from '../../platform/turn-queue.ts';
import { FakeClock } from '../support/fake-clock.ts';

/** A frame of one series with a chunk of so many bytes. */
function frame(chunkBytes: number): Uint8Array {
  const writer = new SeriesFrameWriter(true);
  writer.putSeries(new Uint32Array(4).fill(chunkBytes), 0, new Uint8Array(1), 0, 1, 1);
  writer.putChunk(1, 2, new Uint8Array(chunkBytes), 0, chunkBytes);
  return writer.finish();
}

async function sent(
  wish: DigestWish | undefined,
  frames: readonly (Uint8Array | undefined)[],
): Promise<string> {
  const left: number[] = [];
  const reply = { frame: (bytes: Uint8Array) => Promise.resolve(void left.push(bytes.length)) };
  const turns = new TurnQueue(new FakeClock());
  // Nothing else of a reply is called.
  const sender = new AnswerSender(reply as unknown as StreamReply<ReadSummary>, turns, wish);
  for (const one of frames) await sender.send(one);
  const digest = sender.contentDigest();
  return `${left.join(' ')} ${digest === undefined ? 'no digest' : `digest of ${digest[0]}`}`.trim();
}

t.test(
  'a small answer is told by its digest where that may be, a large one by its frames',
  async (t) => {
    const check = async (
      wish: DigestWish | undefined,
      frames: readonly (Uint8Array | undefined)[],
      expected: string,
    ): Promise<void> => {
      t.equal(await sent(wish, frames), expected, `${wish}`);
    };
    const [small, large] = [frame(100), frame(DIGEST_BYTES_MAX)];
    const [s, l] = [small.length, large.length];
    await check(undefined, [small, small], `${s} ${s} no digest`);
    await check('also', [small, undefined, small], `${s} ${s} digest of 2`);
    await check('instead', [small, undefined, small], 'digest of 2');
    await check('instead', [], 'digest of 0');
    await check('also', [small, large, small], `${s} ${l} ${s} no digest`);
    await check('instead', [small, small, large, small], `${s} ${s} ${l} ${s} no digest`);
    await check('instead', [large], `${l} no digest`);
  },
);
