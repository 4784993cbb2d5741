/**
 * Asks the query API of a node over HTTP. Errors are sentences: what the node said, or why it was not
 * reached. `fetch` is given, so that tests need no network.
 */

export interface ClientOptions {
  readonly url: string;
  /** Where the API is below the URL. */
  readonly prefix: string;
  readonly tenant: string | undefined;
  readonly timeoutMs: number;
  readonly fetch: typeof fetch;
}

/** A refusal of the node, or a connection that failed. */
export class QueryFailure extends Error {
  /** True when the request itself is at fault. */
  readonly isUsage: boolean;

  constructor(message: string, isUsage: boolean) {
    super(message);
    this.isUsage = isUsage;
  }
}

export interface Answer {
  readonly data: unknown;
  readonly warnings: readonly string[];
  readonly infos: readonly string[];
  readonly explain?: unknown;
}

type Fields = readonly (readonly [name: string, value: string])[];

/** One request: a form by POST, so that long queries fit, or the fields in the URL. */
export async function askNode(
  { fetch: send, prefix, tenant, timeoutMs, url }: ClientOptions,
  path: string,
  fields: Fields,
  method: 'GET' | 'POST' = 'POST',
): Promise<Answer> {
  const form = new URLSearchParams();
  for (const [name, value] of fields) form.append(name, value);
  const target = `${url.replace(/\/+$/, '')}${prefix}/api/v1/${path}`;
  const headers: Record<string, string> = tenant === undefined ? {} : { 'x-scope-orgid': tenant };
  const signal = AbortSignal.timeout(timeoutMs);
  let response: Response;
  try {
    response =
      method === 'POST'
        ? await send(target, { method, headers, body: form, signal })
        : await send(`${target}?${form.toString()}`, { headers, signal });
  } catch (error) {
    const isLate = error instanceof Error && error.name === 'TimeoutError';
    const why = isLate ? `no answer within ${timeoutMs} ms` : causeOf(error);
    throw new QueryFailure(`cannot ask ${target}: ${why}`, false);
  }
  const text = await response.text();
  const body = parsed(text);
  if (response.ok && body.status === 'success') {
    const { data, explain, infos = [], warnings = [] } = body;
    return { data, warnings, infos, explain };
  }
  const said = body.error ?? text.slice(0, 200);
  const id = body.errorId === undefined ? '' : ` [${body.errorId}]`;
  throw new QueryFailure(`${response.status}: ${said}${id}`, response.status === 400);
}

interface Envelope {
  readonly status?: string;
  readonly data?: unknown;
  readonly explain?: unknown;
  readonly error?: string;
  readonly errorId?: string;
  readonly warnings?: readonly string[];
  readonly infos?: readonly string[];
}

function parsed(text: string): Envelope {
  try {
    const body: unknown = JSON.parse(text);
    return typeof body === 'object' && body !== null ? body : {};
  } catch {
    return {}; // no JSON: the text itself is told
  }
}

/** `fetch failed` says nothing; its cause does. */
function causeOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const { cause } = error;
  return cause instanceof Error ? cause.message || String(cause) : error.message;
}
