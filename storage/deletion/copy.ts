/** All requests of a bucket as one document on the local disk: `[{tenant, marks, request}]`. */
import { type TenantId, parseTenantId } from '../../model/ids.ts';
import { BadDocument, JsonObject } from '../bucket/json.ts';
import { type DeletionRequest, type RequestMark, encodeRequest, parseRequest } from './request.ts';

interface CopiedRequest {
  readonly tenant: TenantId;
  readonly request: DeletionRequest;
  readonly marks: readonly RequestMark[];
}

const COPY_VERSION = 1;

export function encodeCopy(all: readonly CopiedRequest[]): Uint8Array {
  const requests = all.map(({ marks, request, tenant }) => ({
    tenant,
    marks,
    id: request.id,
    request: Buffer.from(encodeRequest(request)).toString(),
  }));
  return Buffer.from(JSON.stringify({ version: COPY_VERSION, requests }));
}

/** Throws `BadDocument`. */
export function decodeCopy(bytes: Uint8Array): readonly CopiedRequest[] {
  const root = JsonObject.parse(Buffer.from(bytes).toString());
  const version = root.integer('version');
  if (version !== COPY_VERSION) throw new BadDocument(`version ${version} of the copy`);
  return root.list('requests').map((one) => ({
    tenant: parseTenantId(one.text('tenant')),
    marks: one
      .strings('marks')
      .flatMap((mark) => KNOWN_MARKS.find((known) => known === mark) ?? []),
    request: parseRequest(Buffer.from(one.text('request')), one.blockId('id')),
  }));
}

const KNOWN_MARKS = ['cancelled', 'processed'] as const;
