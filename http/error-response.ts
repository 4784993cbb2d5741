/**
 * The only translator from errors to HTTP: Prometheus' envelope, with the stable id beside it.
 * Details of an unknown error stay in the log.
 */
import { type StarlingError, toStarlingError } from '../model/errors.ts';

export interface ErrorResponse {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
}

/** Seconds a client should wait before it retries. */
const RETRY_AFTER_SECONDS = 2;

export function errorResponse(thrown: unknown): ErrorResponse {
  const error = toStarlingError(thrown);
  const headers: Record<string, string> = { 'content-type': 'application/json' };
  if (error.http === 429 || error.http === 503)
    headers['retry-after'] = String(RETRY_AFTER_SECONDS);
  const body = {
    status: 'error',
    errorType: errorType(error),
    error: error.message,
    errorId: error.id,
  };
  return { status: error.http, headers, body: JSON.stringify(body) };
}

/** Prometheus' errorType of a catalogue error. */
function errorType(error: StarlingError): string {
  if (error.grpc === 'DEADLINE_EXCEEDED') return 'timeout';
  switch (error.http) {
    case 401:
    case 403:
      return 'unauthorized';
    case 404:
      return 'not_found';
    case 422:
      return 'execution';
    case 429:
      return 'too_many_requests';
    case 499:
      return 'canceled';
    case 503:
      return 'unavailable';
    default:
      return error.http >= 500 ? 'internal' : 'bad_data';
  }
}
