/**
 * The real `RpcStreams`: one bidirectional gRPC method, one frame a message, bytes as they are. Each
 * (address, lane) has a connection of its own, so that bulk never stands before control. gRPC's own
 * flow control tells a slow reader: `send` answers false until the stream drained.
 */
import type { Http2Server } from 'node:http2';
import * as grpc from '@grpc/grpc-js';
import type { Lane, RpcListener, RpcStream, RpcStreams } from '../platform/platform.ts';
import { StarlingError } from '../model/errors.ts';

export const GRPC_MESSAGE_BYTES_MAX = 80 * 1024 * 1024;
const CONCURRENT_STREAMS_MAX = 64;
/** Kept for an end that has not said yet who takes its frames; above it the stream is paused. */
const EARLY_BYTES_MAX = 1024 * 1024;
const KEEPALIVE_MS = 10_000;
const KEEPALIVE_TIMEOUT_MS = 5000;
/** What a peer may send before we said that we read it: HTTP/2's own 64 KiB cost a round trip each. */
const RECEIVE_WINDOW_BYTES = 1024 * 1024;

const identity = (bytes: Buffer): Buffer => bytes;
const method = {
  path: '/starling.v1.Peer/Exchange',
  requestStream: true,
  responseStream: true,
  requestSerialize: identity,
  requestDeserialize: identity,
  responseSerialize: identity,
  responseDeserialize: identity,
} as const;

const LANES: ReadonlySet<string> = new Set<Lane>(['control', 'read', 'write']);

type Duplex = grpc.ClientDuplexStream<Buffer, Buffer> | grpc.ServerDuplexStream<Buffer, Buffer>;

export function createGrpcStreams(): RpcStreams {
  return { listen, connect };
}

async function listen(
  address: string,
  onStream: (stream: RpcStream) => void,
): Promise<RpcListener> {
  const server = new grpc.Server({
    'grpc.max_receive_message_length': GRPC_MESSAGE_BYTES_MAX,
    'grpc.max_send_message_length': GRPC_MESSAGE_BYTES_MAX,
    'grpc.max_concurrent_streams': CONCURRENT_STREAMS_MAX,
    'grpc.keepalive_time_ms': KEEPALIVE_MS,
    'grpc.keepalive_timeout_ms': KEEPALIVE_TIMEOUT_MS,
  });
  const { setOnSessions } = receiveWindowOf(server);
  server.addService(
    { exchange: method },
    {
      exchange: (call: grpc.ServerDuplexStream<Buffer, Buffer>) => {
        const lane = String(call.metadata.get('lane')[0] ?? '');
        if (!LANES.has(lane)) {
          call.destroy(new Error('unknown lane'));
          return;
        }
        onStream(wrap(call, lane as Lane, call.getPeer(), () => call.end()));
      },
    },
  );
  const port = await new Promise<number>((resolve, reject) => {
    server.bindAsync(address, grpc.ServerCredentials.createInsecure(), (error, bound) => {
      if (error === null) resolve(bound);
      else
        reject(
          new StarlingError(
            'config.invalid',
            { where: `--grpc.listen ${address}`, why: error.message },
            error,
          ),
        );
    });
  });
  setOnSessions();
  return {
    address: `${address.slice(0, address.lastIndexOf(':'))}:${port}`,
    close: () =>
      new Promise((resolve) => {
        server.forceShutdown();
        resolve();
      }),
  };
}

/** What is inside of a gRPC server, in the version that package.json names. */
interface ServerParts {
  readonly commonServerOptions?: { settings?: Record<string, unknown> };
  readonly http2Servers?: ReadonlyMap<Http2Server, unknown>;
}

/**
 * Widens the receive windows of a server, for streams at once and for sessions once it is bound. gRPC has an
 * option for its clients only, so its parts are reached for; where they are not, it is slower, no more.
 */
function receiveWindowOf(server: grpc.Server): { readonly setOnSessions: () => void } {
  const parts = server as unknown as ServerParts; // no public way leads there
  const options = parts.commonServerOptions;
  if (options !== undefined)
    options.settings = { ...options.settings, initialWindowSize: RECEIVE_WINDOW_BYTES };
  return {
    setOnSessions: () => {
      for (const http2 of parts.http2Servers?.keys() ?? [])
        http2.on('session', (session) => {
          if (!session.destroyed) session.setLocalWindowSize(RECEIVE_WINDOW_BYTES);
        });
    },
  };
}

function connect(address: string, lane: Lane): RpcStream {
  const client = new grpc.Client(address, grpc.credentials.createInsecure(), {
    'grpc.max_receive_message_length': GRPC_MESSAGE_BYTES_MAX,
    'grpc.max_send_message_length': GRPC_MESSAGE_BYTES_MAX,
    'grpc.use_local_subchannel_pool': 1,
    'grpc.keepalive_time_ms': KEEPALIVE_MS,
    'grpc.keepalive_timeout_ms': KEEPALIVE_TIMEOUT_MS,
    'grpc.enable_retries': 0,
    'grpc-node.flow_control_window': RECEIVE_WINDOW_BYTES,
    'grpc.lane': lane, // a channel of its own for each lane
  });
  const metadata = new grpc.Metadata();
  metadata.set('lane', lane);
  const call = client.makeBidiStreamRequest(method.path, identity, identity, metadata);
  return wrap(call, lane, address, () => {
    call.end();
    call.cancel();
    client.close();
  });
}

/**
 * One stream of frames over either end of a gRPC call. It is read from the start, because gRPC tells
 * that the peer closed only to an end that reads.
 */
function wrap(call: Duplex, lane: Lane, remoteAddress: string, shut: () => void): RpcStream {
  let onClose: ((why: string) => void) | undefined;
  let closedWhy: string | undefined;
  const closed = (why: string): void => {
    if (closedWhy !== undefined) return;
    closedWhy = why;
    shut();
    onClose?.(why);
  };
  const early: Buffer[] = [];
  let earlyBytes = 0;
  let onFrame: ((frame: Uint8Array) => void) | undefined;
  call.on('data', (frame: Buffer) => {
    if (onFrame !== undefined && early.length === 0) {
      onFrame(frame);
      return;
    }
    early.push(frame);
    earlyBytes += frame.length;
    if (earlyBytes > EARLY_BYTES_MAX) call.pause();
  });
  const deliverEarly = (): void => {
    for (const frame of early.splice(0)) onFrame?.(frame);
    earlyBytes = 0;
    call.resume();
  };
  call.on('error', (error: Error) => closed(error.message));
  call.on('end', () => closed('the peer ended the stream'));
  call.on('cancelled', () => closed('the stream was cancelled'));
  call.on('close', () => closed('the connection closed'));
  return {
    lane,
    remoteAddress,
    send: (frame) => {
      if (closedWhy !== undefined) return false;
      return call.write(Buffer.from(frame.buffer, frame.byteOffset, frame.length));
    },
    onFrame: (callback) => {
      onFrame = callback;
      queueMicrotask(deliverEarly); // not before the caller has finished what it is making
    },
    onDrain: (callback) => void call.on('drain', () => callback()),
    onClose: (callback) => {
      onClose = callback;
      if (closedWhy !== undefined) callback(closedWhy);
    },
    close: (why) => closed(why),
  };
}
