/**
 * `POST /api/v1/push`: the write path's edge, on node's own request and response (no framework on
 * the hot path). It checks headers and sizes, collects the body within its bounds and deadline, and
 * translates the outcome: 204 stored, 400 the rest was stored, 413/415/429/503 as the error says.
 * The socket is given by http/server.ts; nothing here touches the network itself.
 */
import { StarlingError, toStarlingError } from '../model/errors.ts';
import type { TenantId } from '../model/ids.ts';
import type { Clock } from '../platform/platform.ts';
import type { NodeApi } from './api.ts';
import { type ErrorResponse, errorResponse } from './error-response.ts';

/** The most bytes a compressed body may have. */
export const PUSH_BODY_BYTES_MAX = 32 * 1024 * 1024;
export const PUSH_BODY_TIMEOUT_MS = 30_000;
/** The most bytes that the bodies of all pushes together may hold while they arrive and are stored. */
export const PUSH_BODIES_BYTES_MAX = 512 * 1024 * 1024;

/** Bodies up to this size are put together in buffers that are used again, so many of them. */
const ROOM_BYTES = 256 * 1024;
const ROOMS_MAX = 16;

/** The bytes of all push bodies of a listener. */
export class PushBodies {
  readonly #bytesMax: number;
  readonly #rooms: ArrayBuffer[] = [];
  #bytes = 0;

  constructor(bytesMax = PUSH_BODIES_BYTES_MAX) {
    this.#bytesMax = bytesMax;
  }

  get bytes(): number {
    return this.#bytes;
  }

  /** Throws `node.overloaded` over the bound. */
  take(bytes: number): void {
    if (this.#bytes + bytes > this.#bytesMax) {
      const facts = { what: 'bytes of push bodies', countMax: this.#bytesMax };
      throw new StarlingError('node.overloaded', facts);
    }
    this.#bytes += bytes;
  }

  give(bytes: number): void {
    this.#bytes -= bytes;
  }

  /** The parts as one body. */
  join(parts: readonly Uint8Array[], byteLength: number): Uint8Array {
    if (parts.length === 1) return parts[0]!;
    const isSmall = byteLength <= ROOM_BYTES;
    const buffer = isSmall
      ? (this.#rooms.pop() ?? new ArrayBuffer(ROOM_BYTES))
      : new ArrayBuffer(byteLength);
    const body = new Uint8Array(buffer, 0, byteLength);
    let at = 0;
    for (const part of parts) {
      body.set(part, at);
      at += part.length;
    }
    return body;
  }

  /** Nobody reads the body any more. */
  reuse({ buffer }: Uint8Array): void {
    const isRoom = buffer instanceof ArrayBuffer && buffer.byteLength === ROOM_BYTES;
    if (isRoom && this.#rooms.length < ROOMS_MAX) this.#rooms.push(buffer);
  }
}

export interface PushHeaders {
  readonly contentType: string | undefined;
  readonly contentEncoding: string | undefined;
  readonly contentLength: number | undefined;
}

/** A request body as it arrives. Callbacks fire at most once, except `onData`. */
export interface IncomingBody {
  onData(callback: (bytes: Uint8Array) => void): void;
  onEnd(callback: () => void): void;
  onAbort(callback: () => void): void;
}

export interface PushEdge {
  readonly api: Pick<NodeApi, 'push'>;
  readonly clock: Clock;
  readonly bodies: PushBodies;
}

/** Handles one push. Always resolves; `undefined` means that the client left. */
export async function handlePush(
  edge: PushEdge,
  tenant: () => TenantId,
  headers: PushHeaders,
  body: IncomingBody,
): Promise<ErrorResponse | undefined> {
  let held = 0;
  try {
    checkHeaders(headers);
    const id = tenant();
    const bytes = await collectBody(edge, body, headers.contentLength);
    if (bytes === undefined) return undefined;
    held = bytes.length;
    const outcome = await edge.api.push(id, bytes); // after an error it may still be at work
    edge.bodies.reuse(bytes);
    if (outcome.refused !== undefined) return errorResponse(outcome.refused);
    return { status: 204, headers: {}, body: '' };
  } catch (error) {
    return errorResponse(error);
  } finally {
    edge.bodies.give(held);
  }
}

/** Only remote write 1.0, snappy blocks. Absent headers count as right, as in Prometheus. */
function checkHeaders(headers: PushHeaders): void {
  const encoding = headers.contentEncoding;
  if (encoding !== undefined && encoding.trim().toLowerCase() !== 'snappy') {
    throw new StarlingError('request.content_encoding', { encoding });
  }
  const contentType = headers.contentType;
  if (contentType === undefined) return;
  const [media = '', ...parameters] = contentType.split(';').map((part) => part.trim());
  const proto = parameters
    .map((part) => /^proto\s*=\s*"?([^"]*)"?$/i.exec(part)?.[1])
    .find((name) => name !== undefined);
  const isProto = media.toLowerCase() === 'application/x-protobuf';
  if (!isProto || (proto !== undefined && proto !== 'prometheus.WriteRequest')) {
    throw new StarlingError('request.content_type', { contentType });
  }
}

/**
 * The whole body, or undefined when the client left. Throws over the sizes or the deadline, and keeps
 * nothing then. The caller gives the bytes of a whole body back.
 */
function collectBody(
  { bodies, clock }: PushEdge,
  body: IncomingBody,
  contentLength: number | undefined,
): Promise<Uint8Array | undefined> {
  const bytesMax = PUSH_BODY_BYTES_MAX;
  if (contentLength !== undefined && contentLength > bytesMax) {
    throw new StarlingError('request.body_too_large', { bytes: contentLength, bytesMax });
  }
  return new Promise((resolve, reject) => {
    const parts: Uint8Array[] = [];
    let bytes = 0;
    let isOver = false;
    const finish = (isWhole: boolean): void => {
      isOver = true;
      timer.cancel();
      if (!isWhole) bodies.give(bytes);
      if (!isWhole) parts.length = 0;
    };
    const fail = (error: unknown): void => {
      finish(false);
      reject(toStarlingError(error));
    };
    const timer = clock.after(PUSH_BODY_TIMEOUT_MS, () => {
      fail(new StarlingError('request.body_timeout', { timeoutMs: PUSH_BODY_TIMEOUT_MS }));
    });
    body.onData((part) => {
      if (isOver) return;
      try {
        const total = bytes + part.length;
        if (total > bytesMax)
          throw new StarlingError('request.body_too_large', { bytes: total, bytesMax });
        bodies.take(part.length);
        bytes = total;
        parts.push(part);
      } catch (error) {
        fail(error);
      }
    });
    body.onEnd(() => {
      if (isOver) return;
      finish(true);
      resolve(bodies.join(parts, bytes));
    });
    body.onAbort(() => {
      if (!isOver) finish(false);
      resolve(undefined);
    });
  });
}
