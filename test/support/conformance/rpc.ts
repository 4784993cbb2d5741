/** What every `RpcStreams` does between a dialling and a listening side. */
import type { Test } from 'tap';
import type { RpcStream, RpcStreams } from '../../../platform/platform.ts';

const FRAMES = 200;
const FRAME_BYTES = 64 * 1024;

/** Resolves when `isTrue`; `poke` is called after every event that could change it. */
class Waiter {
  #isTrue: () => boolean = () => true;
  #resolve: () => void = () => undefined;

  readonly poke = (): void => {
    if (this.#isTrue()) this.#resolve();
  };

  until(isTrue: () => boolean): Promise<void> {
    if (isTrue()) return Promise.resolve();
    return new Promise((resolve) => {
      this.#isTrue = isTrue;
      this.#resolve = resolve;
    });
  }
}

export async function checkRpc(
  t: Test,
  sides: readonly [dialling: RpcStreams, listening: RpcStreams],
  addresses: { readonly listen: string; readonly nobody: string },
): Promise<void> {
  const waiter = new Waiter();
  const accepted: RpcStream[] = [];
  const listener = await sides[1].listen(addresses.listen, (stream) => {
    accepted.push(stream);
    waiter.poke();
  });
  t.match(listener.address, /:[1-9]\d*$/, 'the bound port is told');
  await t.rejects(
    sides[1].listen(listener.address, () => undefined),
    'a port has one holder',
  );

  const near = sides[0].connect(listener.address, 'read');
  t.equal(near.remoteAddress, listener.address);
  t.equal(near.lane, 'read');
  near.send(Buffer.from('before the other side listens'));
  await waiter.until(() => accepted.length === 1);
  const far = accepted[0]!;
  t.equal(far.lane, 'read', 'the lane is known to both');
  t.match(far.remoteAddress, /.+:\d+$/);
  await checkFrames(t, [near, far], waiter);
  await checkCloses(
    t,
    { near, far, accepted, dial: () => sides[0].connect(listener.address, 'control') },
    waiter,
  );

  const refused: string[] = [];
  sides[0].connect(addresses.nobody, 'write').onClose((why) => {
    refused.push(why);
    waiter.poke();
  });
  await waiter.until(() => refused.length > 0);
  t.not(refused[0], '', 'a refused connection says why');

  const open = sides[0].connect(listener.address, 'write');
  let closes = 0;
  open.onClose(() => {
    closes++;
    waiter.poke();
  });
  await waiter.until(() => accepted.length === 3);
  await listener.close();
  await waiter.until(() => closes > 0);
  t.equal(closes, 1, 'a closed listener ends its streams');
}

async function checkFrames(
  t: Test,
  [near, far]: [RpcStream, RpcStream],
  waiter: Waiter,
): Promise<void> {
  const atFar: Buffer[] = [];
  const atNear: string[] = [];
  let drains = 0;
  near.onFrame((frame) => {
    atNear.push(String(Buffer.from(frame)));
    waiter.poke();
  });
  near.onDrain(() => {
    drains++;
    waiter.poke();
  });
  far.onFrame((frame) => {
    atFar.push(Buffer.from(frame));
    waiter.poke();
  });
  far.send(Buffer.from('back'));
  far.send(new Uint8Array(0));
  let refusals = 0;
  for (let i = 0; i < FRAMES; i++) {
    const frame = Buffer.alloc(FRAME_BYTES, i);
    if (!near.send(frame)) refusals++;
  }
  await waiter.until(() => atFar.length === FRAMES + 1 && atNear.length === 2 && drains > 0);
  t.equal(String(atFar[0]), 'before the other side listens', 'early frames are kept');
  const isWhole = atFar.slice(1).every((frame, i) => frame.equals(Buffer.alloc(FRAME_BYTES, i)));
  t.ok(isWhole, 'frames arrive whole and in order');
  t.strictSame(atNear, ['back', '']);
  t.ok(refusals > 0, 'a full buffer says so, and keeps the frame');
}

interface Closing {
  readonly near: RpcStream;
  readonly far: RpcStream;
  readonly accepted: readonly RpcStream[];
  readonly dial: () => RpcStream;
}

async function checkCloses(t: Test, closing: Closing, waiter: Waiter): Promise<void> {
  const { accepted, dial, far, near } = closing;
  const closes: string[] = [];
  const watch = (stream: RpcStream, name: string): void =>
    stream.onClose(() => {
      closes.push(name);
      waiter.poke();
    });
  watch(near, 'near');
  watch(far, 'far');
  near.close('done here');
  near.close('twice');
  await waiter.until(() => closes.length === 2);
  t.strictSame(closes.splice(0).sort(), ['far', 'near'], 'each end hears of a close once');
  t.equal(near.send(Buffer.from('late')), false, 'a closed stream takes nothing');
  watch(near, 'late');
  t.strictSame(closes.splice(0), ['late'], 'who asks later is told at once');

  const second = dial();
  second.onFrame(() => undefined);
  watch(second, 'second');
  await waiter.until(() => accepted.length === 2);
  accepted[1]!.close('the listening side had enough');
  await waiter.until(() => closes.length > 0);
  t.strictSame(closes.splice(0), ['second'], 'either end may close');
}
