/** What an entry of the error catalogue is, and the statuses that many share. */

/** gRPC status names used by the catalogue. */
export type GrpcStatus =
  | 'ABORTED'
  | 'CANCELLED'
  | 'DEADLINE_EXCEEDED'
  | 'FAILED_PRECONDITION'
  | 'INTERNAL'
  | 'INVALID_ARGUMENT'
  | 'NOT_FOUND'
  | 'PERMISSION_DENIED'
  | 'RESOURCE_EXHAUSTED'
  | 'UNAUTHENTICATED'
  | 'UNAVAILABLE'
  | 'UNIMPLEMENTED';

/** What the catalogue has of each error. */
export interface ErrorSpec {
  readonly http: number;
  readonly grpc: GrpcStatus;
  readonly retryable: boolean;
  readonly message: (facts: never) => string;
}

export const invalid = { http: 400, grpc: 'INVALID_ARGUMENT', retryable: false } as const;
export const unavailable = { http: 503, grpc: 'UNAVAILABLE', retryable: true } as const;
export const unsupportedMedia = { http: 415, grpc: 'INVALID_ARGUMENT', retryable: false } as const;
export const unprocessable = { http: 422, grpc: 'FAILED_PRECONDITION', retryable: false } as const;

/** Facts of an error about one series. `series` is the printed label set, cut to a bound. */
export interface SeriesFacts {
  readonly series: string;
}
