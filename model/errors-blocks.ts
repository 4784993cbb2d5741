/** The part of the error catalogue about blocks that come from outside: imports and uploads. */
import {
  type ErrorSpec,
  type SeriesFacts,
  invalid,
  unavailable,
  unprocessable,
} from './error-spec.ts';

/** Facts of a refusal of a block: the rule, and both values in the reason. */
interface RuleFacts {
  readonly block: string;
  readonly rule: string;
  readonly why: string;
}

export const blockErrors = {
  'block.refused': {
    ...invalid,
    message: (f: RuleFacts) => `block ${f.block} is not taken (${f.rule}): ${f.why}`,
  },
  'block.too_old': {
    ...unprocessable,
    message: (f: RuleFacts) => `block ${f.block} is not taken (${f.rule}): ${f.why}`,
  },
  'block.too_large': {
    http: 413,
    grpc: 'RESOURCE_EXHAUSTED',
    retryable: false,
    message: (f: RuleFacts) => `block ${f.block} is not taken (${f.rule}): ${f.why}`,
  },
  // --- block uploads ---
  'upload.disabled': {
    ...invalid,
    message: () =>
      'block uploads are off: set limits.compactor_block_upload_enabled on the nodes to allow them',
  },
  'upload.exists': {
    http: 409,
    grpc: 'FAILED_PRECONDITION',
    retryable: false,
    message: (f: { readonly block: string; readonly why: string }) =>
      `block ${f.block} cannot be uploaded now: ${f.why}`,
  },
  'upload.not_started': {
    http: 404,
    grpc: 'NOT_FOUND',
    retryable: false,
    message: (f: { readonly block: string }) =>
      `no upload of the block ${f.block} was started: begin with POST …/start`,
  },
  'upload.file': {
    ...invalid,
    message: (f: { readonly block: string; readonly path: string; readonly why: string }) =>
      `the file ${JSON.stringify(f.path)} of the block ${f.block} is not taken: ${f.why}`,
  },
  'upload.busy': {
    http: 429,
    grpc: 'RESOURCE_EXHAUSTED',
    retryable: true,
    message: (f: { readonly what: string; readonly countMax: number }) =>
      `this node has ${f.countMax} ${f.what} already, which is the limit: try again later`,
  },
  // --- deletion of series ---
  'deletion.disabled': {
    ...unavailable,
    retryable: false,
    message: () => 'admin APIs disabled: set api.admin_enabled on the nodes to allow them',
  },
  'deletion.not_shared': {
    http: 501,
    grpc: 'UNIMPLEMENTED',
    retryable: false,
    message: (f: { readonly instances: number }) =>
      `series cannot be deleted here: ${f.instances} instances have a bucket each, and a request reaches only one of them: give all of them one bucket (--bucket)`,
  },
  'deletion.not_found': {
    http: 404,
    grpc: 'NOT_FOUND',
    retryable: false,
    message: (f: { readonly request: string }) =>
      `there is no request ${JSON.stringify(f.request)} to delete series of this tenant`,
  },
  'deletion.too_late': {
    http: 409,
    grpc: 'FAILED_PRECONDITION',
    retryable: false,
    message: (f: { readonly request: string; readonly periodMs: number }) =>
      `the request ${f.request} cannot be cancelled: the ${f.periodMs} ms for that are over`,
  },
  'deletion.too_large': {
    http: 429,
    grpc: 'RESOURCE_EXHAUSTED',
    retryable: false,
    message: (f: { readonly whose: string; readonly bytes: number; readonly bytesMax: number }) =>
      `the requests ${f.whose} to delete series would take ${f.bytes} bytes, the limit is ${f.bytesMax}`,
  },
  'deletion.too_many': {
    http: 429,
    grpc: 'RESOURCE_EXHAUSTED',
    retryable: false,
    message: (f: { readonly what: string; readonly countMax: number }) =>
      `there are ${f.countMax} ${f.what} to delete series, which is the limit`,
  },
  // --- imports ---
  'openmetrics.invalid': {
    ...invalid,
    message: (f: { readonly line: number; readonly column: number; readonly why: string }) =>
      `line ${f.line}, column ${f.column}: ${f.why}`,
  },
  'openmetrics.duplicate': {
    ...invalid,
    message: (f: SeriesFacts & { readonly timeMs: number; readonly values: string }) =>
      `the series ${f.series} has two values at ${f.timeMs} ms: ${f.values}: keep one of them`,
  },
  'openmetrics.too_large': {
    ...invalid,
    message: (f: { readonly what: string; readonly countMax: number }) =>
      `the file has more than ${f.countMax} ${f.what}: import it in parts`,
  },
} as const satisfies Record<string, ErrorSpec>;
