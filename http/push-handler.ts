/**
 * `POST /api/v1/push`: the write path's edge, on node's own request and response (no framework on
 * the hot path). It checks headers and sizes, collects the body within its bounds and deadline, and
 * translates the outcome: 204 stored, 400 the rest was stored, 413/415/429/503 as the error says.
 * The socket is given by http/server.ts; nothing here touches the network itself.
 */
import { StarlingError } from '../model/errors.ts';
import type { TenantId } from '../model/ids.ts';
import type { Clock } from '../platform/platform.ts';
import type { NodeApi } from './api.ts';
import { type ErrorResponse, errorResponse } from './error-response.ts';

/** The most bytes a compressed body may have. */
export const PUSH_BODY_BYTES_MAX = 32 * 1024 * 1024;
export const PUSH_BODY_TIMEOUT_MS = 30_000;

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

/** Handles one push. Always resolves; `undefined` means that the client left. */
export async function handlePush(
  api: NodeApi,
  clock: Clock,
  tenant: () => TenantId,
  headers: PushHeaders,
  body: IncomingBody,
): Promise<ErrorResponse | undefined> {
  try {
    checkHeaders(headers);
    const id = tenant();
    const bytes = await collectBody(clock, body, headers.contentLength);
    if (bytes === undefined) return undefined;
    const outcome = await api.push(id, bytes);
    if (outcome.refused !== undefined) return errorResponse(outcome.refused);
    return { status: 204, headers: {}, body: '' };
  } catch (error) {
    return errorResponse(error);
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

/** The whole body, or undefined when the client left. Throws over the size or the deadline. */
function collectBody(
  clock: Clock,
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
    const timer = clock.after(PUSH_BODY_TIMEOUT_MS, () => {
      reject(new StarlingError('request.body_timeout', { timeoutMs: PUSH_BODY_TIMEOUT_MS }));
    });
    body.onData((part) => {
      bytes += part.length;
      if (bytes <= bytesMax) {
        parts.push(part);
        return;
      }
      timer.cancel();
      parts.length = 0;
      reject(new StarlingError('request.body_too_large', { bytes, bytesMax }));
    });
    body.onEnd(() => {
      timer.cancel();
      resolve(parts.length === 1 ? parts[0] : Buffer.concat(parts, bytes));
    });
    body.onAbort(() => {
      timer.cancel();
      resolve(undefined);
    });
  });
}
