/** Two actor runtimes over streams in memory: frames are copied and arrive on a later turn, in order. */
import { ActorRuntime, type Hellos, type RuntimeOptions } from '../../actors/runtime/index.ts';
import { HelloCipher } from '../../membership/swim/hello.ts';
import { createKeyring } from '../../membership/swim/keyring.ts';
import { type InstanceId, parseInstanceId } from '../../model/ids.ts';
import { createNodeCiphers } from '../../platform/node/ciphers.ts';
import { createNodeRandom } from '../../platform/node/random.ts';
import type { Lane, RpcStream, RpcStreams } from '../../platform/platform.ts';
import { createEnvelopeCodec } from '../../proto/envelope-codec.ts';
import { FakeClock } from './fake-clock.ts';
import { silentLog } from './toy-tsdb.ts';

interface End extends RpcStream {
  deliver(frame: Uint8Array): void;
  shut(why: string): void;
}

/** Counts what crossed, by lane; `cut` breaks every stream. */
export class MemoryWire implements RpcStreams {
  readonly framesByLane = new Map<Lane, number>();
  readonly #listeners = new Map<string, (stream: RpcStream) => void>();
  readonly #ends: End[] = [];

  listen(address: string, onStream: (stream: RpcStream) => void) {
    this.#listeners.set(address, onStream);
    return Promise.resolve({ address, close: () => Promise.resolve() });
  }

  connect(address: string, lane: Lane): RpcStream {
    const near: End = this.#end(lane, address, () => far);
    const far: End = this.#end(lane, 'dialler', () => near);
    const listener = this.#listeners.get(address);
    if (listener === undefined) setImmediate(() => near.shut('connection refused'));
    else setImmediate(() => listener(far));
    return near;
  }

  cut(): void {
    for (const end of this.#ends.splice(0)) end.shut('cut');
  }

  #end(lane: Lane, remoteAddress: string, other: () => End): End {
    let onFrame: (frame: Uint8Array) => void = () => undefined;
    let onClose: (why: string) => void = () => undefined;
    let isClosed = false;
    const early: Uint8Array[] = [];
    let isListening = false;
    const end: End = {
      lane,
      remoteAddress,
      send: (frame) => {
        const copy = Uint8Array.from(frame);
        this.framesByLane.set(lane, (this.framesByLane.get(lane) ?? 0) + 1);
        setImmediate(() => other().deliver(copy));
        return true;
      },
      deliver: (frame) => {
        if (isClosed) return;
        if (isListening) onFrame(frame);
        else early.push(frame);
      },
      onFrame: (callback) => {
        onFrame = callback;
        isListening = true;
        for (const frame of early.splice(0)) callback(frame);
      },
      onDrain: () => undefined,
      onClose: (callback) => {
        onClose = callback;
      },
      shut: (why) => {
        if (isClosed) return;
        isClosed = true;
        onClose(why);
      },
      close: (why) => {
        end.shut(why);
        setImmediate(() => other().shut(why));
      },
    };
    this.#ends.push(end);
    return end;
  }
}

export interface Wired {
  readonly runtime: ActorRuntime;
  readonly escalated: string[];
}

let systems = 0;

/** Real hellos of a cluster with a key; names that begin with 'intruder' have another key. */
export function hellosOf(name: string, protocol = 1): Hellos {
  const ciphers = createNodeCiphers();
  const secret = new Uint8Array(32).fill(name.startsWith('intruder') ? 6 : 7);
  const ring = createKeyring(ciphers, 'test', [secret]);
  const id = parseInstanceId(name);
  const cipher = new HelloCipher(ciphers, createNodeRandom(), { ring, id, boot: 1, protocol });
  return { dial: (target) => cipher.dial(target), accept: () => cipher.accept() };
}

/** A runtime that listens at its own name. */
export async function wire(
  name: string,
  rpc: MemoryWire,
  clock = new FakeClock(),
  overrides: Partial<RuntimeOptions> = {},
): Promise<Wired> {
  const escalated: string[] = [];
  const runtime = new ActorRuntime({
    self: name as InstanceId,
    systemName: `${name}-${systems++}`,
    clock,
    log: silentLog,
    rpc,
    codec: createEnvelopeCodec(),
    codecs: new Map(),
    resolve: (instance) => (instance === 'unknown' ? undefined : instance),
    hellos: hellosOf(name),
    onEscalate: (path) => void escalated.push(path),
    ...overrides,
  });
  await runtime.peers.listen(name);
  return { runtime, escalated };
}
