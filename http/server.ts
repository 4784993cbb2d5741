/**
 * The HTTP listener: the thin shell that owns the socket. Pushes go to their own handler on node's
 * raw request; everything else goes through hono. Every server timeout and size is set here.
 */
import { type IncomingMessage, type ServerResponse, createServer } from 'node:http';
import type { Duplex } from 'node:stream';
import type { AddressInfo } from 'node:net';
import { getRequestListener } from '@hono/node-server';
import { StarlingError } from '../model/errors.ts';
import type { Clock } from '../platform/platform.ts';
import { createApp } from './app.ts';
import { type ErrorResponse, errorResponse } from './error-response.ts';
import type { AppOptions } from './options.ts';
import { PushBodies, type PushEdge, handlePush } from './push-handler.ts';
import { tenantOf } from './tenant.ts';

const PUSH_PATHS: ReadonlySet<string> = new Set(['/api/v1/push', '/api/prom/push']);
const HEADERS_TIMEOUT_MS = 10_000;
const REQUEST_TIMEOUT_MS = 150_000;
const KEEP_ALIVE_MS = 75_000;
const CONNECTIONS_MAX = 10_000;
const HEADER_BYTES_MAX = 64 * 1024;
/** The longest a client may take to read an answer, from its request on. */
const RESPONSE_TIMEOUT_MS = 10 * 60_000;
/** Answered while the server drains: what tells that it does. */
const DRAIN_PATHS: ReadonlySet<string> = new Set(['/ready', '/metrics']);

export interface HttpServer {
  readonly address: string;
  /**
   * Refuses new requests with a 503 from now on, and resolves when those in flight are answered, at the
   * latest after `timeoutMs`.
   */
  drain(timeoutMs: number): Promise<void>;
  /** Stops accepting, lets requests in flight finish, closes idle connections. */
  close(): Promise<void>;
  /** Cuts every connection. */
  destroy(): void;
}

export interface HttpServerOptions extends AppOptions {
  readonly listen: string;
  readonly pushBodies?: PushBodies;
}

/** Binds and serves. Rejects with a plain sentence when the address cannot be bound. */
export function startHttpServer(options: HttpServerOptions): Promise<HttpServer> {
  const { api, clock } = options;
  const app = createApp(options);
  const rest = getRequestListener(app.fetch, { overrideGlobalObjects: false });
  const edge: PushEdge = { api, clock, bodies: options.pushBodies ?? new PushBodies() };
  const flight = new Flight(clock);
  const server = createServer({ maxHeaderSize: HEADER_BYTES_MAX }, (request, response) => {
    const path = request.url?.split('?', 1)[0] ?? '/';
    if (flight.isDraining && !DRAIN_PATHS.has(path)) {
      answer(response, errorResponse(stopping()), { connection: 'close' });
      return;
    }
    flight.begin();
    response.on('close', () => flight.end());
    if (PUSH_PATHS.has(path) && request.method === 'POST') {
      void servePush(edge, options.multitenancy, request, response);
    } else {
      // A client that reads a long answer slowly holds it only so long.
      const timer = clock.after(RESPONSE_TIMEOUT_MS, () => response.destroy());
      response.on('close', () => timer.cancel());
      void rest(request, response);
    }
  });
  server.on('clientError', refuseBytes);
  server.headersTimeout = HEADERS_TIMEOUT_MS;
  server.requestTimeout = REQUEST_TIMEOUT_MS;
  server.keepAliveTimeout = KEEP_ALIVE_MS;
  server.maxConnections = CONNECTIONS_MAX;
  const at = options.listen.lastIndexOf(':');
  const host = options.listen.slice(0, at).replace(/^\[|\]$/g, '');
  return new Promise((resolve, reject) => {
    server.once('error', (error: NodeJS.ErrnoException) => {
      const why = error.code === 'EADDRINUSE' ? 'the port is already in use' : error.message;
      const where = `--http.listen ${options.listen}`;
      reject(new StarlingError('config.invalid', { where, why }, error));
    });
    server.listen(Number(options.listen.slice(at + 1)), host, () => {
      const bound = server.address() as AddressInfo;
      const hostText = bound.family === 'IPv6' ? `[${bound.address}]` : bound.address;
      resolve({
        address: `${hostText}:${bound.port}`,
        drain: (timeoutMs) => flight.drain(timeoutMs),
        close: () =>
          new Promise<void>((done) => {
            server.close(() => done());
            server.closeIdleConnections();
          }),
        destroy: () => server.closeAllConnections(),
      });
    });
  });
}

/** The requests that have no answer yet. */
class Flight {
  readonly #clock: Clock;
  #count = 0;
  #onEmpty: (() => void) | undefined;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  get isDraining(): boolean {
    return this.#onEmpty !== undefined;
  }

  begin(): void {
    this.#count++;
  }

  end(): void {
    this.#count--;
    if (this.#count === 0) this.#onEmpty?.();
  }

  drain(timeoutMs: number): Promise<void> {
    return new Promise((resolve) => {
      const timer = this.#clock.after(timeoutMs, resolve);
      this.#onEmpty = () => {
        timer.cancel();
        resolve();
      };
      if (this.#count === 0) this.#onEmpty();
    });
  }
}

/** Answers what is no request: one whose URL or headers are too long learns what to do instead. */
function refuseBytes(error: NodeJS.ErrnoException, socket: Duplex): void {
  if (error.code === 'ECONNRESET' || !socket.writable) return;
  const isTooLong = error.code === 'HPE_HEADER_OVERFLOW';
  const status = isTooLong ? '414 URI Too Long' : '400 Bad Request';
  const why = isTooLong
    ? `the URL and headers are longer than ${HEADER_BYTES_MAX} bytes: send parameters as a POST form`
    : 'this is not an HTTP request';
  const facts = { parameter: 'url', why };
  const { body } = errorResponse(new StarlingError('request.parameter', facts));
  const headers = `content-type: application/json\r\ncontent-length: ${Buffer.byteLength(body)}`;
  socket.end(`HTTP/1.1 ${status}\r\nconnection: close\r\n${headers}\r\n\r\n${body}`);
}

function stopping(): StarlingError {
  return new StarlingError('node.not_ready', { why: 'it is stopping' });
}

async function servePush(
  edge: PushEdge,
  multitenancy: boolean,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  const { headers } = request;
  const length = headers['content-length'];
  const org = headers['x-scope-orgid'];
  const outcome = await handlePush(
    edge,
    () => tenantOf(multitenancy, Array.isArray(org) ? org.join(', ') : org),
    {
      contentType: headers['content-type'],
      contentEncoding: headers['content-encoding'],
      contentLength: length === undefined ? undefined : Number(length),
    },
    {
      onData: (callback) => void request.on('data', callback),
      onEnd: (callback) => void request.on('end', callback),
      onAbort: (callback) => void request.on('close', () => request.complete || callback()),
    },
  );
  if (outcome === undefined || response.destroyed) return;
  // An unread rest of the body would hold the connection: it is closed with the answer.
  answer(response, outcome, request.complete ? {} : { connection: 'close' });
}

function answer(
  response: ServerResponse,
  { body, headers, status }: ErrorResponse,
  more: Readonly<Record<string, string>>,
): void {
  response.writeHead(status, { ...headers, ...more });
  response.end(body);
}
